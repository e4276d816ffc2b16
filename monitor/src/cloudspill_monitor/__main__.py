# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m cloudspill_monitor`."""

from cloudspill_monitor.cli import app

app()
