# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables that look like those of a role and are none."""

from __future__ import annotations

DOCUMENTATION = r"""
name: misspelt_variables
short_description: Name the variables that were meant for the current role and misspelt
description:
  - Ansible ignores a variable that nobody reads, so a misspelt one leaves the default in place.
    The roles of this collection ask this lookup in their preflight, and refuse what it finds.
  - It looks at the variables whose names begin as those of the current role do. One that is not in
    the role's C(meta/argument_specs.yml), and is a letter (in a long name two) away from one
    that is, or has some of its words, is taken for misspelt. Any other is taken for somebody
    else's.
  - The variables that all roles share, such as V(cloudspill_run) and V(gcp_project), are held
    against their list in the same way.
author:
  - The cloudspill authors (!UNKNOWN)
options:
  _terms:
    description: Nothing; the role is the one whose task asks.
    type: list
    elements: str
notes:
  - A variable of another's that looks like a role's can be named in the list
    V(cloudspill_foreign_variables), which this lookup reads.
"""

EXAMPLES = r"""
- name: Refuse misspelt variables, in a task of a role
  ansible.builtin.fail:
    msg: "{{ misspelt | join('; ') }}"
  when: misspelt is truthy
  vars:
    misspelt: "{{ query('cloudspill.gcp.misspelt_variables') }}"
"""

RETURN = r"""
_raw:
  description: A sentence for each, which names the variable that was meant.
  type: list
  elements: str
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

FOREIGN = "cloudspill_foreign_variables"
SHARED = {
    "cloudspill_": ["environment", "foreign_variables", "owner", "run", "target"],
    "gcp_": ["auth_kind", "project", "service_account_file"],
}


class LookupModule(LookupBase):
    """Ansible's entry point."""

    def run(
        self, terms: list[Any], variables: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[str]:
        """Return a sentence for each misspelt variable.

        Raises:
            AnsibleLookupError: no role asks, or something is given that it has no use for, or the
                foreign variables are no list.
        """
        if terms or kwargs:
            raise AnsibleLookupError("misspelt_variables takes no terms and no options")
        known = variables or {}
        if "role_path" not in known:
            raise AnsibleLookupError("misspelt_variables is for tasks of a role")
        path = Path(str(known["role_path"]))
        options = self._documented(path / "meta" / "argument_specs.yml")
        foreign = self._templar.template(known.get(FOREIGN, []))  # type: ignore[union-attr]
        if isinstance(foreign, str):
            raise AnsibleLookupError(f"set {FOREIGN} to a list of names, not to {foreign}")
        candidates = [name for name in known if name not in foreign]
        prefix = f"{path.name}_"
        own = [name.removeprefix(prefix) for name in options if name.startswith(prefix)]
        return [
            f"{wrong} is no variable: set {meant}, or name {wrong} in {FOREIGN} if it is not meant "
            "for this collection"
            for start, endings in {prefix: own, **SHARED}.items()
            for wrong, meant in misspelt(candidates, start, endings)
        ]

    def _documented(self, path: Path) -> set[str]:
        document = self._loader.load_from_file(str(path))  # type: ignore[union-attr]
        specs = document.get("argument_specs", {})
        return {name for entry in specs.values() for name in entry.get("options", {})}


def misspelt(
    names: Iterable[str], prefix: str, endings: Iterable[str]
) -> Iterable[tuple[str, str]]:
    """Give each name that is nearly one of prefix and ending, and the name that was meant.

    Args:
        names: of all variables that there are.
        prefix: what the names begin with that are looked at.
        endings: what may follow it.
    """
    allowed = sorted(endings)
    for name in sorted(names):
        ending = name.removeprefix(prefix)
        if ending == name or ending in allowed:
            continue
        near = [(nearness, known) for known in allowed if (nearness := _nearness(ending, known))]
        if near:
            yield name, prefix + max(near)[1]


def _nearness(ending: str, known: str) -> float:
    """How near two names are: 0 for not at all."""
    distance = _distance(ending, known)
    if distance <= (1 if len(known) < 8 else 2):
        return 1 + 1 / distance
    words, known_words = set(ending.split("_")), set(known.split("_"))
    return len(words) / len(known_words) if words < known_words else 0


def _distance(one: str, other: str) -> int:
    """Letters that were left out, added, replaced or swapped with a neighbour (OSA distance)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
    return row[-1]
