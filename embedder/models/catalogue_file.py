"""Reads what operators know about models: the TOML file that EMBEDDING_CATALOGUE_FILE names."""

import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from embedder.domain import InputKind
from embedder.models.catalogue import Catalogue, CatalogueEntry, EngineName
from embedder.models.errors import ModelUnusableError
from embedder.models.pooling import PoolingMode
from embedder.models.reference import HubModel, ModelReference, parse_reference
from embedder.models.remote_code import is_commit

_PREFIXES = {"document_prefix": InputKind.DOCUMENT, "query_prefix": InputKind.QUERY}


def load_catalogue(path: Path | None) -> Catalogue:
    """The catalogue with the entries of a file, or without any.

    Raises ModelUnusableError, naming the file, the entry and the field, when something in it is not understood.
    """
    return Catalogue() if path is None else Catalogue([*_entries(path)])


def _inside(path: str) -> str:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or parts.suffix != ".onnx":
        raise ValueError("must be the path of an .onnx file, relative to the directory of the model")
    return path


class _Entry(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query_prefix: str | None = None
    document_prefix: str | None = None
    shortest: Annotated[int, Field(ge=1)] | None = None
    engine: EngineName | None = None
    onnx_file: Annotated[str, AfterValidator(_inside)] | None = None
    pooling: PoolingMode | None = None
    # Less would leave no room for text between the special tokens.
    max_tokens: Annotated[int, Field(ge=8)] | None = None
    trust_remote_code: bool | None = None
    revision: Annotated[str, StringConstraints(pattern=r"^[\w./-]+$")] | None = None

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.trust_remote_code and not is_commit(self.revision or ""):
            raise ValueError("trust_remote_code wants `revision` to be a full commit, 40 hexadecimal digits")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    models: dict[str, _Entry] = {}


def _entries(path: Path) -> Iterator[CatalogueEntry]:
    try:
        file = _File.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise ModelUnusableError(f"catalogue {path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ModelUnusableError(f"catalogue {path}: {_problems(error)}") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise ModelUnusableError(f"catalogue {path}: not TOML: {error}") from error
    seen: dict[ModelReference, str] = {}
    for key, entry in file.models.items():
        reference = _reference(path, key, entry)
        if reference in seen:
            raise ModelUnusableError(f"catalogue {path}: {seen[reference]!r} and {key!r} are the same model")
        seen[reference] = key
        values = entry.model_dump(exclude_none=True)
        yield CatalogueEntry(
            reference, {kind: values.pop(field) for field, kind in _PREFIXES.items() if field in values}, values
        )


def _reference(path: Path, key: str, entry: _Entry) -> ModelReference:
    try:
        reference = parse_reference(key)
    except ModelUnusableError as error:
        raise ModelUnusableError(f"catalogue {path}: {error.message}") from error
    if isinstance(reference, HubModel):
        if reference.revision:
            raise ModelUnusableError(f"catalogue {path}: {key!r}: the revision goes into the field `revision`")
        return HubModel(reference.name.lower())
    if entry.trust_remote_code or entry.revision:
        raise ModelUnusableError(
            f"catalogue {path}: {key!r}: trust_remote_code and revision are for hub ids: nothing pins other files"
        )
    return reference


def _problems(error: ValidationError) -> str:
    """Each problem with the entry and the field where it is."""
    return "; ".join(
        f"{_place(problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_url=False, include_input=False)
    )


def _place(location: tuple[str | int, ...]) -> str:
    match location:
        case ("models", entry, *fields):
            return " ".join([repr(entry), *map(str, fields)])
        case _:
            return " ".join(map(str, location))
