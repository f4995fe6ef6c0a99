"""Pauses that differ."""

import random


def jittered(seconds: float) -> float:
    """Half to all of it: what started or failed at the same moment does not come back at the same moment."""
    return seconds * random.uniform(0.5, 1)  # noqa: S311 - it guards no secret
