"""Which numbers of the gateway's benchmark are promises."""

from typing import Any

import pytest

from benchmarks.gateway import claims_of
from benchmarks.support.gateway_party import BARE, DIRECT, GATEWAY, GATEWAY_HTTP


def row(scenario: str, party: str, added: float) -> dict[str, Any]:
    return {"scenario": scenario, "party": party, "p50_added_ms": added}


@pytest.mark.parametrize(
    ("scenario", "party", "added", "kept"),
    [
        ("Embed, cached", GATEWAY, 0.6, True),
        ("Embed, cached", GATEWAY, 0.61, False),
        ("GetEvent", GATEWAY, float("nan"), False),
        ("SearchEvents by text", GATEWAY, 0.61, False),
        ("SearchEvents by text", GATEWAY_HTTP, 3.0, True),
        ("SearchEvents by vector", GATEWAY_HTTP, 3.01, False),
    ],
)
def test_what_the_gateway_adds_is_held_to_its_promise(scenario: str, party: str, added: float, kept: bool) -> None:
    (claim,) = claims_of([row(scenario, party, added)])

    assert claim.kept is kept
    assert claim.text == f"{scenario}: {party} adds to the median"


def test_nothing_is_promised_of_other_rows() -> None:
    rows = [row("GetEvent", DIRECT, 0), row("GetEvent", BARE, 9), row("GetEvent", GATEWAY_HTTP, 9)]

    assert claims_of(rows) == []
