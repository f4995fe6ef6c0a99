"""JSON as RFC 8259 has it: what Python's parser takes beyond that is refused."""

import json
import math
from typing import Any, TypeAlias

Json: TypeAlias = Any

#: Levels of objects and arrays in free-form JSON. A message may be nested 100 deep on the wire, and an object of a
#: google.protobuf.Struct takes three levels of these.
MAX_DEPTH = 30


class NotANumber:
    """Stands for NaN, Infinity or a number beyond 64-bit floats, until the field it is in is known."""


class JsonError(ValueError):
    """The text is not JSON. The message says why, as a phrase."""


def parse_json(text: bytes | str) -> Json:
    """The JSON value of a text; numbers that are no finite 64-bit float become NotANumber.

    Raises JsonError for text that is not UTF-8 or not JSON, for an object with the same key twice, and for nesting
    that no message could have.
    """
    try:
        return json.loads(
            text.decode("utf-8") if isinstance(text, bytes) else text,
            object_pairs_hook=_object,
            parse_constant=lambda _: NotANumber(),
            parse_float=_finite,
            parse_int=_integer,
        )
    except UnicodeDecodeError:
        raise JsonError("is not valid UTF-8") from None
    except RecursionError:
        raise JsonError("is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise JsonError(f"is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None


def depth(value: Json) -> int:
    """Levels of objects and arrays in a JSON value: 0 for a scalar, 1 for `[]`."""
    levels = 0
    level = [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        levels += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return levels


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for key, value in pairs:
        if key in found:
            raise JsonError(f"has an object with the key {key[:100]!r} twice")
        found[key] = value
    return found


def _finite(digits: str) -> float | NotANumber:
    number = float(digits)
    return number if math.isfinite(number) else NotANumber()


def _integer(digits: str) -> int | NotANumber:
    # More digits do not fit into a 64-bit float, and converting thousands of them is slow.
    return int(digits) if len(digits) <= 308 else NotANumber()
