"""How much of events one answer carries."""

import json

from store.events import Event

#: A page of large events ends early: by default a gRPC client takes no message of more than 4 MiB. JSON as text is a
#: little smaller than as a message.
PAGE_BYTES = 3 * 1024 * 1024


def event_bytes(event: Event) -> int:
    return len(json.dumps([event.content, event.metadata], ensure_ascii=False).encode())
