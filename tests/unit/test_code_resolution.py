"""Which definition a call means, across files."""

from tests.code_graph import code_graph_files, edges_of, hand_checked_calls, resolve_sources


def test_calls_of_python_are_those_that_people_find() -> None:
    found = edges_of(resolve_sources(*code_graph_files("shop")), "calls")
    expected = hand_checked_calls("python")
    assert len(expected) >= 50
    assert sorted(found - expected) == []
    assert sorted(expected - found) == []
