# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: documents, Google's errors, and the shape of a call. Knows no HTTP and no cloud."""
