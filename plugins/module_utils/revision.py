# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Change part of a resource under its fingerprint, without losing what others changed.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/setTags and its siblings refuse a
stale fingerprint with 412; then the resource is read again and the change is worked out anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .api_errors import PreconditionError

if TYPE_CHECKING:
    from .compute import Compute

Document = dict[str, Any]

_ATTEMPTS = 5


def revise(
    compute: Compute,
    reference: str,
    verb: str,
    plan: Callable[[Document], Document | None],
    *,
    deadline: float,
    dry_run: bool = False,
) -> tuple[Document, Document | None]:
    """Bring part of a resource to what is wanted.

    Args:
        compute: the client.
        reference: the resource.
        verb: the custom method, such as `setTags`.
        plan: makes the method's body, fingerprint included, from the resource as it is; None
            where it is already as wanted.
        deadline: seconds that the operation may take.
        dry_run: plan only.

    Returns:
        the resource as it was, and the body that was (or would be) sent, None if none was.

    Raises:
        PreconditionError: others kept changing it.
        CloudError: it is absent, or the change was refused.
    """
    tried: tuple[Document, Document] | None = None
    for attempt in range(_ATTEMPTS):
        document = compute.get(reference)
        body = plan(document)
        if body is None and tried:
            return tried  # done by the request before: its answer was lost, its repetition stale
        if body is None or dry_run:
            return document, body
        try:
            compute.change(
                "POST", f"{reference}/{verb}", body=body, deadline=deadline, request_id=False
            )
        except PreconditionError:
            if attempt == _ATTEMPTS - 1:
                raise
            tried = document, body
        else:
            return document, body
    raise AssertionError("unreachable: the last attempt returns or raises")
