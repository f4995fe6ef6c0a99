"""The names under which models can be asked for."""

from collections.abc import Iterator, Sequence

from gateway.http.json_text import Json
from gateway.http.openai.errors import ModelNotFoundError
from trimem.embedding.v1 import embedding_pb2

#: Names that stay when a model is exchanged for another one.
DOMAINS = {"text": embedding_pb2.DOMAIN_TEXT, "code": embedding_pb2.DOMAIN_CODE}


def domain_of(name: str, models: Sequence[embedding_pb2.ModelInfo]) -> embedding_pb2.Domain.ValueType:
    """The domain of the model that is meant: by its name, or by a short form of it that only one model has.

    TEXT, when one model serves both. Raises ModelNotFoundError.
    """
    if name in DOMAINS:
        return DOMAINS[name]
    meant = [model for model in models if model.name == name] or [
        model for model in models if name in _short_forms(model.name)
    ]
    if not meant:
        raise ModelNotFoundError(f"no model is called {name[:100]!r} here: {_known(models)}")
    if len({model.name for model in meant}) > 1:
        raise ModelNotFoundError(f"more than one model is called {name[:100]!r} here: {_known(models)}")
    return meant[0].domain


def listed(models: Sequence[embedding_pb2.ModelInfo]) -> Json:
    """All models in the shape of OpenAI's list."""
    return {"object": "list", "data": [described(name) for name in _names(models)]}


def described(name: str) -> Json:
    """One model in OpenAI's shape. When it was made is not known here."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "trimem"}


def _names(models: Sequence[embedding_pb2.ModelInfo]) -> list[str]:
    return list(dict.fromkeys([*DOMAINS, *(model.name for model in models)]))


def _known(models: Sequence[embedding_pb2.ModelInfo]) -> str:
    return f"there are {', '.join(_names(models))}"


def _short_forms(name: str) -> Iterator[str]:
    """`package:minilm` and `/models/minilm` are `minilm`; `owner/name@revision` is `owner/name` and `name`."""
    plain = name.removeprefix("package:").rstrip("/")
    unversioned = plain.partition("@")[0]
    yield from (plain, unversioned, plain.rpartition("/")[2], unversioned.rpartition("/")[2])
