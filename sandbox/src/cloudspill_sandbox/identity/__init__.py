# SPDX-License-Identifier: GPL-3.0-or-later
"""Who calls: service accounts, keys, tokens."""
