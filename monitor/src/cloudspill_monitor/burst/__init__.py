# SPDX-License-Identifier: GPL-3.0-or-later
"""The burst: tasks move to cloud VMs by playbooks, are watched there, and come home."""
