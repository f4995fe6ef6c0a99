"""The error tree and its one map to statuses, walked class by class."""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2

import servicekit
from servicekit import errors, status
from servicekit.errors import TrimemError

ROOT = Path(inspect.getfile(servicekit)).parents[1]
OUR_PACKAGES = ("servicekit", "embedder", "store", "gateway")


def import_every_module_that_defines_an_error() -> None:
    for package in OUR_PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if re.search(r"^class \w+\((errors\.)?\w+Error\):", path.read_text(encoding="utf-8"), re.MULTILINE):
                importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def tree(root: type[TrimemError]) -> Iterator[type[TrimemError]]:
    for cls in root.__subclasses__():
        yield cls
        yield from tree(cls)


import_every_module_that_defines_an_error()
ALL = sorted(
    (cls for cls in set(tree(TrimemError)) if cls.__module__.split(".")[0] in OUR_PACKAGES),
    key=lambda cls: (cls.__module__, cls.__qualname__),
)
OURS = [cls for cls in ALL if cls.__module__ == errors.__name__]


def example(cls: type[TrimemError]) -> TrimemError:
    if issubclass(cls, errors.InvalidArgumentError):
        return cls("requests[3].event", "must be set")
    return cls("the message")


def received(sent: status_pb2.Status) -> grpc.aio.AioRpcError:
    """What a client gets when a server attaches this status."""
    return grpc.aio.AioRpcError(
        status._CODES_BY_NUMBER[sent.code] if hasattr(status, "_CODES_BY_NUMBER") else grpc.StatusCode.UNKNOWN,
        initial_metadata=grpc.aio.Metadata(),
        trailing_metadata=grpc.aio.Metadata(("x-other", "1"), (status.DETAILS_KEY, sent.SerializeToString())),
        details=sent.message,
    )
