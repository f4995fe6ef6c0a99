"""Which text of an event is embedded."""

from collections.abc import Iterator
from typing import Any

from store.events import Json

#: The models read some thousand tokens, seldom more than 32,768; no token is shorter than a character of any text that
#: people write, and few are longer than four. What lies behind would travel to the embedder to be cut off there.
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
