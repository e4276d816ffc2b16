# SPDX-License-Identifier: GPL-3.0-or-later
"""cloudspill-sandbox: a local Google Cloud."""

__version__ = "0.1.0"
