"""Which inputs go through a model together."""

from collections.abc import Sequence


def plan_batches(lengths: Sequence[int], *, token_budget: int) -> list[list[int]]:
    """Group inputs of the given lengths (tokens) so that little is spent on padding and memory stays bounded.

    Returns groups of indices, longest inputs first. A group padded to its longest member has at most
    `token_budget` tokens, unless it is a single input that is longer than that.
    """
    batches: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if room == 0:
            batches.append([])
            # The first member is the longest: each of those that follow is padded to it.
            room = max(1, token_budget // max(1, lengths[index]))
        batches[-1].append(index)
        room -= 1
    return batches
