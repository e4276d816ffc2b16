# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata server that instances see at 169.254.169.254."""
