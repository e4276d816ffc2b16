# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults as resources: what shall go wrong, how often, and what of it has.

A fault of a call is met by `calls.py`, which stands around every handler; one of an operation by
`hooks.py`, which compute asks before each step; one of an instance is done to it by
`instances.py`. No handler knows of any of them.
"""
