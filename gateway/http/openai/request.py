"""The body of `POST /v1/embeddings`."""

from dataclasses import dataclass
from typing import Self, TypeVar

from gateway.http.errors import InvalidRequestError
from gateway.http.json_text import Json, JsonError, parse_json
from gateway.http.reading import BODY
from servicekit.errors import FieldViolation
from trimem.embedding.v1 import embedding_pb2

T = TypeVar("T")

#: `user` is for OpenAI's own statistics. `input_type` is not OpenAI's; others who speak its API have it.
_FIELDS = ("input", "model", "encoding_format", "dimensions", "user", "input_type")

_KINDS: dict[Json, embedding_pb2.InputKind.ValueType] = {
    None: embedding_pb2.INPUT_KIND_DOCUMENT,
    "document": embedding_pb2.INPUT_KIND_DOCUMENT,
    "query": embedding_pb2.INPUT_KIND_QUERY,
}

_FORMATS: dict[Json, bool] = {None: False, "float": False, "base64": True}


@dataclass(frozen=True, slots=True)
class EmbeddingsRequest:
    """What is asked for."""

    inputs: list[str]
    model: str
    #: Vectors as base64 of little-endian 32-bit floats rather than as lists of numbers.
    as_base64: bool
    #: 0 is the full length.
    dimensions: int
    kind: embedding_pb2.InputKind.ValueType

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a body. Raises InvalidRequestError. What texts must be like is the embedder's to say."""
        try:
            tree = parse_json(body or b"{}")
        except JsonError as error:
            raise _wrong(BODY, str(error)) from None
        if not isinstance(tree, dict):
            raise _wrong(BODY, "must be a JSON object")
        for name in tree:
            if name not in _FIELDS:
                raise _wrong(name[:100], f"is not one of {', '.join(_FIELDS)}")
        return cls(
            inputs=_inputs(tree.get("input")),
            model=_text(tree.get("model"), "model"),
            as_base64=_one_of(tree.get("encoding_format"), "encoding_format", _FORMATS),
            dimensions=_dimensions(tree.get("dimensions")),
            kind=_one_of(tree.get("input_type"), "input_type", _KINDS),
        )


def _inputs(value: Json) -> list[str]:
    if value is None:
        raise _wrong("input", "is required")
    if isinstance(value, str):
        return [_text(value, "input")]
    if not isinstance(value, list):
        raise _wrong("input", "must be a string or a list of strings")
    if value and all(isinstance(each, int | list) for each in value):
        raise _wrong("input", "must be text: tokens are numbers of another model's vocabulary, and mean nothing here")
    return [_text(each, f"input[{index}]") for index, each in enumerate(value)]


def _text(value: Json, name: str) -> str:
    if value is None:
        raise _wrong(name, "is required")
    if not isinstance(value, str):
        raise _wrong(name, "must be a string")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise _wrong(name, "must be valid Unicode text") from None
    return value


def _dimensions(value: Json) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**32:
        raise _wrong("dimensions", "must be an integer of at least 1")
    return value


def _one_of(value: Json, name: str, choices: dict[Json, T]) -> T:
    if not isinstance(value, str | None) or value not in choices:
        raise _wrong(name, f"must be {' or '.join(each for each in choices if each)}")
    return choices[value]


def _wrong(field: str, description: str) -> InvalidRequestError:
    return InvalidRequestError([FieldViolation(field, description)])
