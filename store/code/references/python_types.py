"""Which class an annotation of Python means, if it is one."""

import re
from collections.abc import Iterator

_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
#: `Optional[X]` is an X or nothing, and so on.
_TRANSPARENT = frozenset(
    {"Annotated", "ClassVar", "Final", "InitVar", "NotRequired", "Optional", "ReadOnly", "Required"}
)
_MAX_LENGTH = 300


def annotated_type(text: str) -> str:
    """The class that values have, as Binding.type_name says it; empty when there are several, or none is known."""
    if len(text) > _MAX_LENGTH:
        return ""
    for _ in range(6):
        text = text.strip().strip("\"'").strip()
        members = [member.strip() for member in _split(text, "|") if member.strip() not in ("None", "")]
        if len(members) != 1:
            return ""
        head, bracket, rest = members[0].partition("[")
        if not bracket:
            return head if _NAME.fullmatch(head) else ""
        last = head.strip().rpartition(".")[2]
        arguments = list(_split(rest.strip().removesuffix("]"), ","))
        if last in ("type", "Type"):
            inner = annotated_type(arguments[0])
            return f"={inner}" if inner and not inner.startswith("=") else ""
        if last == "Union":
            text = "|".join(arguments)
        elif last in _TRANSPARENT:
            text = arguments[0]
        else:
            return head.strip() if _NAME.fullmatch(head.strip()) else ""
    return ""


def _split(text: str, separator: str) -> Iterator[str]:
    depth = start = 0
    for place, letter in enumerate(text):
        if letter in "[(":
            depth += 1
        elif letter in "])":
            depth -= 1
        elif letter == separator and depth == 0:
            yield text[start:place]
            start = place + 1
    yield text[start:]
