"""Which definition a call means, across files."""

import pytest

from tests.code_graph import code_graph_files, edges_of, hand_checked_calls, resolve_sources


@pytest.mark.parametrize("part", ["python", "web", "go", "rust", "java", "c", "cpp"])
def test_calls_are_those_that_people_find(part: str) -> None:
    found = edges_of(resolve_sources(*code_graph_files("shop" if part == "python" else part)), "calls")
    expected = hand_checked_calls(part)
    assert sorted(found - expected) == []
    assert sorted(expected - found) == []


def test_the_hand_checked_sample_has_more_than_fifty_calls_of_python() -> None:
    assert len(hand_checked_calls("python")) > 50
