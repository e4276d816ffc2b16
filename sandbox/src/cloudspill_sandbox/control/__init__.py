# SPDX-License-Identifier: GPL-3.0-or-later
"""The admin socket and its client."""
