"""How large JSON is in an answer, by its text: messages hold it in another way."""

import re

#: Where JSON is larger in a message than as text, by at most 10 bytes: a list or an object begins, or a number ends. A
#: number has 8 bytes there, and one of a list 11 with its tags instead of the 3 of `1, `. A string may look like one.
#: The same to Python and to PostgreSQL.
LARGER = r"[\[{]|[0-9][\],}]"
MORE_BYTES = 10

_LARGER = re.compile(LARGER)


def json_bytes(text: str) -> int:
    """At least what JSON of this text has in a message."""
    return len(text.encode()) + MORE_BYTES * sum(1 for _ in _LARGER.finditer(text))
