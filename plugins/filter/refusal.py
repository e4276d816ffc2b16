# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""google.cloud's failures as sentences."""

from __future__ import annotations

DOCUMENTATION = r"""
name: refusal
short_description: Say in one sentence why a module of google.cloud failed
description:
  - A module of the collection google.cloud fails with the text of a Python object, or, when the
    endpoint does not answer, with an error about an error. This filter turns such a result into one
    sentence with Google's reason and what to do about it.
author:
  - The cloudspill authors (!UNKNOWN)
positional: _input
options:
  _input:
    description: The result of the failed task, C(ansible_failed_result) in a rescue section.
    type: dict
    required: true
  resource:
    description: What the task was about; opens the sentence.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Explain
  ansible.builtin.fail:
    msg: "{{ ansible_failed_result | cloudspill.gcp.refusal('the image flask-base') }}"
"""

RETURN = r"""
_value:
  description: The sentence.
  type: str
"""

import ast
from collections.abc import Callable, Mapping
from typing import Any

from ..module_utils.api_errors import error_from_response

_PREFIX = "GCP returned error: "


def refusal(result: Mapping[str, Any], resource: str) -> str:
    """Say why a task failed.

    Args:
        result: the failed task's result.
        resource: what it was about.
    """
    message = result.get("msg", "")
    text = f"{message} {result.get('exception', '')}"
    if "has no attribute 'message'" in text:
        return (
            f"{resource}: the endpoint does not answer; check that the target runs, and the "
            "proxy settings of this machine"
        )
    errors = _operation_errors(message)
    if errors:
        said = [f"{e.get('message', '').rstrip('.')} ({e.get('code', '')})" for e in errors]
        return " ".join(f"{resource}: {'; '.join(said)}".split())
    document = _document(str(message))
    if document is not None:
        status = int(document["error"].get("code", 0))
        return error_from_response(status, document, resource).sentence
    return f"{resource}: {' '.join(str(message).split())}"


def _document(message: str) -> dict[str, Any] | None:
    """Google's error document out of the text that google.cloud made of it."""
    if not message.startswith(_PREFIX):
        return None
    document = _literal(message.removeprefix(_PREFIX))
    is_error = isinstance(document, dict) and isinstance(document.get("error"), dict)
    return document if is_error else None


def _operation_errors(message: Any) -> list[dict[str, Any]]:
    """The errors of an operation that was accepted, then failed; newer Ansible makes them text."""
    errors = _literal(message) if isinstance(message, str) else message
    are_errors = isinstance(errors, list) and all(isinstance(error, dict) for error in errors)
    return errors if are_errors else []


def _literal(text: str) -> Any:
    """The Python object that a text stands for; None if it stands for none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"refusal": refusal}
