"""How much one answer carries."""

import json

from store.events import Event
from store.json_bytes import json_bytes

#: A page of large things ends early: by default a gRPC client takes no message of more than 4 MiB.
PAGE_BYTES = 3 * 1024 * 1024


def event_bytes(event: Event) -> int:
    """At least what the JSON of an event has in an answer; the rest of it is small."""
    return json_bytes(json.dumps([event.content, event.metadata], ensure_ascii=False))
