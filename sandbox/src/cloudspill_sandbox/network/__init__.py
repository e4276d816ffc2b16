# SPDX-License-Identifier: GPL-3.0-or-later
"""The VPC: a router namespace, addresses, firewall, name service."""
