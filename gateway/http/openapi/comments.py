"""The comments of the protos.

Descriptors in Python have none. `protos/tool.py` writes that of each file, with its comments, beside the stubs.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

from gateway.http.json_text import Json

_EXAMPLE = re.compile(r"Example: `(.*)`")

#: Where something is in a file: numbers of fields of descriptors, and places in lists.
_Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Comment:
    """What a proto says about something."""

    #: Paragraphs, separated by blank lines.
    text: str = ""
    #: A JSON value, or None.
    example: Json = None

    @property
    def summary(self) -> str:
        """The first sentence."""
        return re.split(r"(?<=\.)\s", self.text, maxsplit=1)[0]


class Comments:
    """Comments by the full name of what they are about; values of enums are named below their enum."""

    def __init__(self, descriptors: Iterable[FileDescriptor]) -> None:
        self._comments: dict[str, Comment] = {}
        for descriptor in descriptors:
            for file in _with_comments(descriptor):
                names = dict(_names(file))
                for location in file.source_code_info.location:
                    if location.leading_comments and (name := names.get(tuple(location.path))):
                        self._comments[name] = _read(location.leading_comments)

    def __getitem__(self, name: str) -> Comment:
        return self._comments.get(name) or Comment()


def _with_comments(descriptor: FileDescriptor) -> Iterable[FileDescriptorProto]:
    """The file as `protos/tool.py` wrote it; none for files of others."""
    *package, name = descriptor.name.removesuffix(".proto").split("/")
    try:
        raw = files(".".join(package)).joinpath(f"{name}.binpb").read_bytes()
    except (FileNotFoundError, ModuleNotFoundError, ValueError):
        return ()
    return FileDescriptorSet.FromString(raw).file


def _read(raw: str) -> Comment:
    """Lines that were wrapped are joined; the paragraph with the example is not part of the text."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", raw) if part.strip()]
    examples = [json.loads(found[1]) for part in paragraphs if (found := _EXAMPLE.fullmatch(part))]
    text = "\n\n".join(part for part in paragraphs if not _EXAMPLE.fullmatch(part))
    return Comment(text, examples[0] if examples else None)


def _names(file: FileDescriptorProto) -> Iterator[tuple[_Path, str]]:
    """Where everything is in a file, and its full name."""
    for index, message in enumerate(file.message_type):
        yield from _message((4, index), file.package, message)
    for index, enum in enumerate(file.enum_type):
        yield from _enum((5, index), file.package, enum)
    for index, service in enumerate(file.service):
        yield from _service((6, index), file.package, service)


def _message(path: _Path, parent: str, message: DescriptorProto) -> Iterator[tuple[_Path, str]]:
    name = f"{parent}.{message.name}"
    yield path, name
    for index, field in enumerate(message.field):
        yield (*path, 2, index), f"{name}.{field.name}"
    for index, inner in enumerate(message.nested_type):
        yield from _message((*path, 3, index), name, inner)
    for index, enum in enumerate(message.enum_type):
        yield from _enum((*path, 4, index), name, enum)


def _enum(path: _Path, parent: str, enum: EnumDescriptorProto) -> Iterator[tuple[_Path, str]]:
    name = f"{parent}.{enum.name}"
    yield path, name
    for index, value in enumerate(enum.value):
        yield (*path, 2, index), f"{name}.{value.name}"


def _service(path: _Path, parent: str, service: ServiceDescriptorProto) -> Iterator[tuple[_Path, str]]:
    name = f"{parent}.{service.name}"
    yield path, name
    for index, method in enumerate(service.method):
        yield (*path, 2, index), f"{name}.{method.name}"
