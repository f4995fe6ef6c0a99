"""Which definition a call means, across files."""

import pytest

from tests.code_graph import code_graph_files, edges_of, hand_checked_calls, resolve_sources


@pytest.mark.parametrize("part", ["python", "web", "go", "rust", "java", "c", "cpp"])
def test_calls_are_those_that_people_find(part: str) -> None:
    found = edges_of(resolve_sources(*code_graph_files("shop" if part == "python" else part)), "calls")
    expected = hand_checked_calls(part)
    assert sorted(found - expected) == []
    assert sorted(expected - found) == []


#: Of each kind that the sample is to have.
KINDS = {
    "decorated": {
        ("shop.cli.main", "shop.orders.place"),
        ("shop.events.Bus.emit", "shop.orders.Order.seen"),
        ("shop/orders.py", "shop.decorators.retry"),
    },
    "aliased import": {
        ("shop.cli.main", "shop.pricing.total"),
        ("shop.cli.main", "shop.storage.disk.DiskStore"),
        ("shop.orders.cancel", "shop.storage.memory.lookup"),
    },
    "method": {
        ("shop.orders.Order.total", "shop.pricing.Discount.half"),
        ("shop.storage.disk.DiskStore.save", "shop.storage.base.Store.save"),
        ("shop.storage.disk.FastDiskStore.reopen", "shop.storage.disk.DiskStore.open"),
    },
    "cyclic": {
        ("shop.events.ping", "shop.events.pong"),
        ("shop.events.pong", "shop.events.ping"),
        ("shop.orders.cancel", "shop.orders.cancel"),
    },
}


def test_the_hand_checked_sample_has_more_than_fifty_calls_of_ours_and_all_kinds() -> None:
    resolved = {
        (caller, callee) for caller, callee, confidence in hand_checked_calls("python") if confidence == "RESOLVED"
    }
    assert len(resolved) > 50
    for kind, calls in KINDS.items():
        assert calls <= resolved, kind
