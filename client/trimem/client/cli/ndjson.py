"""Events as lines of JSON: what `export` writes and `import` reads."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Never
from uuid import NAMESPACE_URL, uuid5

from trimem.client.cli.output import time_text
from trimem.client.structs import json_text
from trimem.client.types import Event, NewEvent

#: Bytes of a line with its end. The store takes content of 2 MiB, which is longer where characters are escaped;
#: without a limit a file without line ends would be read into memory as a whole.
LONGEST_LINE = 16 * 1024 * 1024

#: Ids of lines without one are made within it.
_NAMESPACE = uuid5(NAMESPACE_URL, "trimem:ndjson")

_WRITTEN = ("id", "timestamp", "content", "metadata")
#: What an event has in answers; taken and not needed, so that those can be imported as they are.
_IGNORED = ("embedding_state", "create_time", "update_time", "embedding_error", "embedding_attempts")
_KNOWN = {*_WRITTEN, *_IGNORED, "vector", "vector_fingerprint"}


class BadLineError(ValueError):
    """A line that is not an event. The message says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank."""

    #: From 1.
    number: int
    text: bytes
    #: Where in the input the next one begins.
    end: int
    is_too_long: bool = False


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """The lines of a file, of which no more than LONGEST_LINE bytes each are kept."""
    number = end = 0
    while text := file.readline(LONGEST_LINE + 1):
        number += 1
        end += len(text)
        is_too_long = len(text) > LONGEST_LINE
        rest = text
        while len(rest) > LONGEST_LINE and not rest.endswith(b"\n"):
            rest = file.readline(LONGEST_LINE + 1)
            end += len(rest)
        if number == 1:
            text = text.removeprefix(b"\xef\xbb\xbf")
        if text := text.strip():
            yield Line(number, text, end, is_too_long)


def event_of_line(line: Line) -> NewEvent:
    """The event of a line. Raises BadLineError.

    A line without an id gets one made of what it says, so that a file that is imported again writes nothing twice,
    wherever its lines have moved. Equal lines are one event therefore.
    """
    if line.is_too_long:
        raise BadLineError(f"is longer than {LONGEST_LINE // 2**20} MiB")
    tree = _parsed(line.text)
    if not isinstance(tree, dict):
        raise BadLineError("must be a JSON object")
    if unknown := sorted(tree.keys() - _KNOWN):
        raise BadLineError(f"{unknown[0][:64]}: is not a field of an event; they are {', '.join(_WRITTEN)}")
    given = {name: value for name, value in tree.items() if value is not None and name not in _IGNORED}
    return NewEvent(
        id=_string(given, "id") or str(uuid5(_NAMESPACE, json.dumps(given, sort_keys=True))),
        timestamp=_time(given),
        content=_object(given, "content"),
        metadata=_object(given, "metadata"),
        vector=_vector(given),
        vector_fingerprint=_string(given, "vector_fingerprint"),
    )


def line_of_event(event: Event) -> str:
    """What `event_of_line` makes the same event of."""
    values = (event.id, time_text(event.timestamp), event.content, event.metadata)
    return json_text(dict(zip(_WRITTEN, values, strict=True)))


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise BadLineError(f"is not UTF-8: byte {error.start + 1} of the line") from None
    except json.JSONDecodeError as error:
        raise BadLineError(f"is not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise BadLineError("is nested too deep") from None
    except ValueError as error:  # a number of thousands of digits
        raise BadLineError(f"is not JSON that can be kept: {error}") from None


def _no_constant(name: str) -> Never:
    raise BadLineError(f"is not JSON: it has {name}")


def _string(tree: Mapping[str, Any], name: str) -> str:
    value = tree.get(name, "")
    if not isinstance(value, str):
        raise BadLineError(f"{name}: must be a string")
    if not value.isascii():
        raise BadLineError(f"{name}: has characters that do not belong there")
    return value


def _object(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = tree.get(name, {})
    if not isinstance(value, dict):
        raise BadLineError(f"{name}: must be a JSON object")
    return value


def _time(tree: Mapping[str, Any]) -> datetime | None:
    text = _string(tree, "timestamp")
    if not text:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        value = None
    if value is None or value.tzinfo is None:
        raise BadLineError("timestamp: must be a time with a zone, such as 2026-01-31T18:30:00Z")
    return value


def _vector(tree: Mapping[str, Any]) -> tuple[float, ...] | None:
    values = tree.get("vector")
    if values is None:
        return None
    if not isinstance(values, list) or not all(_is_number(one) for one in values):
        raise BadLineError("vector: must be a list of numbers")
    try:
        return tuple(float(one) for one in values)
    except OverflowError:
        raise BadLineError("vector: has a number that is too large") from None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
