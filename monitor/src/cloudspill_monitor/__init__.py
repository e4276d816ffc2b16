# SPDX-License-Identifier: GPL-3.0-or-later
"""The cloudspill monitor: watch one machine, decide when work spills into the cloud and back."""

__version__ = "0.1.0"
