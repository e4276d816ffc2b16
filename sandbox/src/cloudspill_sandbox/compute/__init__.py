# SPDX-License-Identifier: GPL-3.0-or-later
"""Compute Engine v1: resources, handlers, operations."""
