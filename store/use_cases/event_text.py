"""Which text of an event is embedded."""

from collections.abc import Iterator
from typing import Any

from store.events import Json

#: Characters. The models read a few thousand tokens of mostly three to five characters, the longest 32,768: what lies
#: behind would travel to the embedder only to be cut off there, and a call of ours must fit into one message.
LONGEST_TEXT = 131_072


def text_to_embed(content: Json) -> str | None:
    """`content.text` when that is a string, else the strings of `content` in key order, a line each.

    Cut to the first LONGEST_TEXT characters. None when there is nothing but white space.
    """
    text = content.get("text")
    if not isinstance(text, str):
        text = "\n".join(leaf for leaf in _leaves(content) if leaf.strip())
    text = text[:LONGEST_TEXT]
    return text if text.strip() else None


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key in sorted(value):  # the database keeps no order of keys
            yield from _leaves(value[key])
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
