"""Which inputs go through a model together."""

from collections.abc import Sequence


def best_window(lengths: Sequence[int], anchor: int, *, token_budget: int) -> tuple[int, int]:
    """Which neighbours of `lengths[anchor]` go through a model with it at the least cost for each token.

    `lengths` (tokens) ascend. A batch costs its padded tokens, and as much again as a sixteenth of `token_budget` for
    being run at all (on a CPU that is about what reading the weights costs). The window grows from the anchor to
    either side as long as the share of real tokens in that cost grows. Returns the first index and the one after the
    last. A window has at most `token_budget` padded tokens, unless the anchor alone has more.
    """
    fixed = max(1, token_budget // 16)
    first, last = anchor, anchor + 1
    real, longest = lengths[anchor], lengths[anchor]
    while True:
        count = last - first + 1
        shorter = lengths[first - 1] if first else 0
        longer = lengths[last] if last < len(lengths) else token_budget
        gain_below = (real + shorter) / (count * longest + fixed) if first and count * longest <= token_budget else 0
        gain_above = (real + longer) / (count * longer + fixed) if count * longer <= token_budget else 0
        if max(gain_below, gain_above) <= real / ((last - first) * longest + fixed):
            return first, last
        if gain_below >= gain_above:
            first, real = first - 1, real + shorter
        else:
            last, real, longest = last + 1, real + longer, longer
