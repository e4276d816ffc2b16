# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels of buckets. https://cloud.google.com/storage/docs/tags-and-labels#bucket-labels"""

from __future__ import annotations

import re
from collections.abc import Mapping

from cloudspill_sandbox.storage.refusals import invalid

MAX_LABELS = 64
_LONGEST = 63
_LONGEST_BYTES = 128
_WORD = re.compile(r"[\w-]*")


def checked_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels that a bucket may have.

    Raises:
        ApiError: 400 that names the label.
    """
    if len(labels) > MAX_LABELS:
        raise invalid(f"Invalid argument. A bucket has at most {MAX_LABELS} labels.")
    for key, value in labels.items():
        if not (_is_word(key) and key[:1].isalpha()):
            raise invalid(f"Invalid argument. '{key}' cannot be the key of a label.")
        if not _is_word(value):
            raise invalid(f"Invalid argument. '{value}' cannot be the value of a label.")
    return dict(labels)


def _is_word(text: str) -> bool:
    """Whether a text has letters of any alphabet, none of them a capital, digits, `_` and `-`."""
    return (
        len(text) <= _LONGEST
        and len(text.encode()) <= _LONGEST_BYTES
        and _WORD.fullmatch(text) is not None
        and text == text.lower()
    )
