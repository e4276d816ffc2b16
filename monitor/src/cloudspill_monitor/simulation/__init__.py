# SPDX-License-Identifier: GPL-3.0-or-later
"""Replay of a CPU trace through the policy, faster than real time."""
