# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines and volumes: one interface, Podman and in-memory."""
