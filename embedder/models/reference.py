"""Model references: what operators write in EMBEDDING_MODEL, and the directory of files that it stands for."""

import importlib
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from embedder.models.errors import ModelUnusableError
from embedder.models.pooling import require_pooling

_HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?", re.ASCII)
_PACKAGE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_PACKAGE_SCHEME = "package:"


#: Longest reference: paths are not longer on the systems that we know.
_LONGEST = 4_096


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model on the Hugging Face hub."""

    name: str
    #: Branch, tag or commit; empty means the default branch.
    revision: str = ""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A directory in the layout of sentence-transformers."""

    name: str

    @property
    def directory(self) -> Path:
        """Where the files are."""
        return Path(self.name).expanduser()


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A Python package that carries a model."""

    name: str

    @property
    def package(self) -> str:
        """What to import."""
        return self.name.removeprefix(_PACKAGE_SCHEME)


ModelReference: TypeAlias = HubModel | LocalModel | PackagedModel


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on this machine."""

    #: Holds `modules.json` and everything that it names, or a transformer alone.
    directory: Path
    #: Commit of a hub model, else empty.
    revision: str = ""


def parse_reference(text: str) -> ModelReference:
    """Read a reference. Raises ModelUnusableError when it is none."""
    text = text.strip()
    if len(text) > _LONGEST:
        raise ModelUnusableError(f"model {text[:40]!r}...: a reference has at most {_LONGEST} characters")
    if text.startswith(_PACKAGE_SCHEME):
        if not _PACKAGE.fullmatch(text.removeprefix(_PACKAGE_SCHEME)):
            raise ModelUnusableError(f"model {text!r}: after `package:` comes the name of an importable Python package")
        return PackagedModel(text)
    if text.startswith(("/", "./", "../", "~")) or _is_directory(text):
        return LocalModel(text)
    match = _HUB_ID.fullmatch(text)
    if match is None:
        raise ModelUnusableError(
            f"model {text!r}: neither a hub id `owner/name[@revision]`, nor an existing directory, nor `package:NAME`"
        )
    return HubModel(match["id"], match["revision"] or "")


def _is_directory(text: str) -> bool:
    try:
        return bool(text) and Path(text).is_dir()
    except (OSError, ValueError):  # longer than the file system takes, or with a NUL
        return False


def resolve(
    reference: ModelReference, download: Callable[[HubModel], ModelFiles], *, pooling: str | None = None
) -> ModelFiles:
    """Find the files of a model, or have `download` fetch them. `pooling` is what the catalogue says about it.

    Raises ModelUnusableError when there is no such model, or nothing or two things are known about how it pools, and
    what `download` raises.
    """
    match reference:
        case HubModel():
            files = download(reference)
        case LocalModel():
            files = ModelFiles(reference.directory)
            if not files.directory.is_dir():
                raise ModelUnusableError(f"model {reference.name!r}: no such directory")
        case PackagedModel():
            files = ModelFiles(_package_directory(reference))
    require_pooling(files.directory, pooling, name=reference.name)
    return files


def _package_directory(reference: PackagedModel) -> Path:
    try:
        module = importlib.import_module(reference.package)
    except ImportError as error:
        if error.name == reference.package.partition(".")[0] or error.name == reference.package:
            raise ModelUnusableError(
                f"model {reference.name!r}: Python package {reference.package} is not installed"
            ) from error
        raise ModelUnusableError(
            f"model {reference.name!r}: Python package {reference.package} cannot be imported"
        ) from error
    locate = getattr(module, "get_model_path", None)
    if callable(locate):
        return Path(locate())
    for root in getattr(module, "__path__", ()):
        if (directory := Path(root) / "model").is_dir():
            return directory
    raise ModelUnusableError(
        f"model {reference.name!r}: Python package {reference.package} carries no model: "
        "it has neither a get_model_path() nor a `model` directory"
    )
