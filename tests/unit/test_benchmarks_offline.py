"""The batches of the benchmark's ceiling."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.support.offline import plan_batches

LENGTHS = st.lists(st.integers(0, 600), max_size=60)


@given(LENGTHS, st.integers(1, 4096))
def test_each_input_is_in_one_batch(lengths: list[int], budget: int) -> None:
    batches = plan_batches(lengths, token_budget=budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 4096))
def test_a_padded_batch_keeps_to_the_budget_unless_it_is_one_long_input(lengths: list[int], budget: int) -> None:
    for batch in plan_batches(lengths, token_budget=budget):
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget


def test_inputs_of_like_length_go_together() -> None:
    assert plan_batches([2, 9, 2, 10], token_budget=20) == [[3, 1], [0, 2]]
