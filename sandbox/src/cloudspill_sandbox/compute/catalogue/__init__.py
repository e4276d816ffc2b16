# SPDX-License-Identifier: GPL-3.0-or-later
"""What Google offers everywhere: regions, zones, machine types, disk types, public images."""
