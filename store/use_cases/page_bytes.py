"""How much one answer carries."""

import json
from collections.abc import Sequence

from store.events import Event
from store.json_bytes import json_bytes

#: A page of large things ends early: by default a gRPC client takes no message of more than 4 MiB.
PAGE_BYTES = 3 * 1024 * 1024


def event_bytes(event: Event) -> int:
    """At least what the JSON of an event has in an answer; the rest of it is small."""
    return _bytes([event])


def fitting(events: Sequence[Event], room: int) -> tuple[int, int]:
    """How many of the events, from the first on, there is room for, and how many bytes of it they take."""
    together = _bytes(events)  # mostly all fit, and one by one takes five times as long
    if together <= room:
        return len(events), together
    taken = 0
    for count, event in enumerate(events):
        size = event_bytes(event)
        if taken + size > room:
            return count, taken
        taken += size
    return len(events), taken


def _bytes(events: Sequence[Event]) -> int:
    return json_bytes(json.dumps([[one.content, one.metadata] for one in events], ensure_ascii=False))
