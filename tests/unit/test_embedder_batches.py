"""Which inputs go through a model together."""

from hypothesis import given
from hypothesis import strategies as st

from embedder.models.batches import best_window

QUEUES = st.lists(st.integers(1, 600), min_size=1, max_size=40).map(sorted)


@given(QUEUES, st.data(), st.integers(16, 2_048))
def test_a_window_holds_its_anchor_and_keeps_to_the_budget(queue: list[int], data: st.DataObject, budget: int) -> None:
    anchor = data.draw(st.integers(0, len(queue) - 1))
    first, last = best_window(queue, anchor, token_budget=budget)
    assert 0 <= first <= anchor < last <= len(queue)
    assert last - first == 1 or (last - first) * queue[last - 1] <= budget


def test_equal_lengths_go_together_up_to_the_budget() -> None:
    assert best_window([10] * 20, 0, token_budget=100) == (0, 10)
    assert best_window([10] * 20, 19, token_budget=100) == (10, 20)
    assert best_window([10] * 5, 2, token_budget=100) == (0, 5)


def test_a_short_input_is_not_padded_to_a_long_one() -> None:
    assert best_window([5, 5, 300], 0, token_budget=512) == (0, 2)
    assert best_window([5, 5, 300], 2, token_budget=512) == (2, 3)


def test_a_little_padding_costs_less_than_a_batch_of_its_own() -> None:
    assert best_window([10, 12, 14], 0, token_budget=512) == (0, 3)


def test_one_input_may_be_longer_than_the_budget() -> None:
    assert best_window([4, 900], 1, token_budget=512) == (1, 2)
