# SPDX-License-Identifier: GPL-3.0-or-later
"""Which forward chains of others would stop egress, from what nft prints of them."""

from __future__ import annotations

from typing import Any

import pytest

from cloudspill_sandbox.network.foreign_firewalls import closed_forward_chains

COUNTER = {"counter": {"packets": 7, "bytes": 420}}
JUMP = {"jump": {"target": "DOCKER-USER"}}


def _ruleset(policy: str, *rules: list[dict[str, Any]], hook: str = "forward") -> list[Any]:
    place = {"family": "ip", "table": "filter"}
    chain = {**place, "name": "FORWARD", "handle": 1, "hook": hook, "policy": policy}
    return [
        {"metainfo": {"version": "1.0.6"}},
        {"chain": chain},
        *(
            {"rule": {**place, "chain": "FORWARD", "handle": handle, "expr": expr}}
            for handle, expr in enumerate(rules, 3)
        ),
    ]


@pytest.mark.parametrize(
    ("ruleset", "closed"),
    [
        (_ruleset("accept"), []),
        (_ruleset("accept", [COUNTER, JUMP]), []),
        (_ruleset("drop"), [("ip filter FORWARD", None)]),
        (_ruleset("drop", [COUNTER, JUMP]), [("ip filter FORWARD", None)]),
        (_ruleset("accept", [JUMP], [{"reject": None}]), [("ip filter FORWARD", 4)]),
        (_ruleset("drop", [JUMP], [COUNTER, {"drop": None}]), [("ip filter FORWARD", 4)]),
        (
            _ruleset("accept", [COUNTER, {"xt": {"type": "target", "name": "REJECT"}}]),
            [("ip filter FORWARD", 3)],
        ),
        (_ruleset("accept", [{"match": {}}, {"drop": None}]), []),
        (_ruleset("accept", [{"drop": None}], [COUNTER, JUMP]), []),
        (_ruleset("drop", hook="input"), []),
    ],
)
def test_a_chain_is_closed_by_its_policy_or_its_last_rule(
    ruleset: list[Any], closed: list[tuple[str, int | None]]
) -> None:
    assert closed_forward_chains(ruleset, "x_vpc") == closed


def test_the_own_table_is_not_foreign() -> None:
    assert closed_forward_chains(_ruleset("drop"), "filter") == []
