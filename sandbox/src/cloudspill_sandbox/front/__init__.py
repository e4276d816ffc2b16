# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP front: CONNECT proxy, TLS, OAuth, discovery-driven routing and validation."""
