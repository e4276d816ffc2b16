# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper of a burst VM: the one authority there over tasks, lease and the VM's own end."""
