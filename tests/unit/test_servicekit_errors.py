"""The error tree and its one map to statuses, walked class by class."""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
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
    {cls for cls in tree(TrimemError) if cls.__module__.split(".")[0] in OUR_PACKAGES},
    key=lambda cls: (cls.__module__, cls.__qualname__),
)
OURS = [cls for cls in ALL if cls.__module__ == errors.__name__]


def example(cls: type[TrimemError]) -> TrimemError:
    if issubclass(cls, errors.InvalidArgumentError):
        return cls("requests[3].event", "must be set")
    return cls("the message")


def received(error: TrimemError, sent: bytes) -> grpc.aio.AioRpcError:
    """What a client gets from a server that attaches `sent`."""
    return grpc.aio.AioRpcError(
        status.code_of(error),
        initial_metadata=grpc.aio.Metadata(),
        trailing_metadata=grpc.aio.Metadata(("x-other", "1"), (status.DETAILS_KEY, sent)),
        details=error.message,
    )


def test_the_walk_sees_the_tree() -> None:
    assert {errors.InvalidArgumentError, errors.InternalError, errors.UnavailableError} <= set(OURS)


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_every_error_has_a_code_that_somebody_chose(cls: type[TrimemError]) -> None:
    """A class that only the root of the tree maps would be INTERNAL by accident."""
    assert any(ancestor in status.CODES for ancestor in cls.__mro__[: cls.__mro__.index(TrimemError)])


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_every_error_has_a_reason_that_programs_can_branch_on(cls: type[TrimemError]) -> None:
    assert re.fullmatch(r"[A-Z][A-Z0-9_]{1,61}[A-Z0-9]", cls.reason)  # AIP-193


def test_every_code_stands_for_one_class_of_the_kit() -> None:
    """INTERNAL alone is given twice: by the root, which a subclass must not rely on, and by InternalError."""
    codes = [status.CODES[cls] for cls in OURS]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("cls", OURS, ids=lambda cls: cls.__name__)
def test_a_status_says_to_the_client_what_the_error_said(cls: type[TrimemError]) -> None:
    error = example(cls)
    error.retry_after = 1.5
    error.metadata["settled_count"] = "42"
    sent = status.to_status(error, "request-1")
    failure = received(error, sent.SerializeToString())

    got = status.status_of(failure)
    assert got == sent
    assert (got.code, got.message) == (status.code_number(status.code_of(error)), error.message)
    assert status.reason_of(failure) == cls.reason
    details = unpacked(got)
    assert (details.info.reason, details.info.domain) == (cls.reason, "trimem")
    assert details.info.metadata == {"settled_count": "42"}
    assert details.retry.retry_delay.ToTimedelta().total_seconds() == 1.5
    assert details.request.request_id == "request-1"
    violations = [(v.field, v.description) for v in details.bad_request.field_violations]
    assert violations == (
        [("requests[3].event", "must be set")] if issubclass(cls, errors.InvalidArgumentError) else []
    )


class Details:
    """The details of a status, each empty when it is not there."""

    def __init__(self) -> None:
        self.info = error_details_pb2.ErrorInfo()
        self.bad_request = error_details_pb2.BadRequest()
        self.retry = error_details_pb2.RetryInfo()
        self.request = error_details_pb2.RequestInfo()


def unpacked(message: status_pb2.Status) -> Details:
    details = Details()
    for packed in message.details:
        unpacked_into = [packed.Unpack(part) for part in vars(details).values()]
        assert unpacked_into.count(True) == 1
    return details


def test_an_error_that_a_retry_does_not_help_has_no_retry_delay() -> None:
    sent = status.to_status(errors.NotFoundError("no such thing"))
    assert [detail.TypeName() for detail in sent.details] == ["google.rpc.ErrorInfo"]


def test_unavailable_asks_for_a_retry_without_being_told() -> None:
    details = unpacked(status.to_status(errors.UnavailableError("the embedder cannot be reached")))
    assert details.retry.retry_delay.seconds == 1


def test_a_subclass_in_a_service_has_its_own_reason_and_its_parents_code() -> None:
    class QuotaError(errors.ResourceExhaustedError):
        reason = "QUOTA"

    sent = status.to_status(QuotaError("no more today"))
    assert sent.code == status.code_number(grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert unpacked(sent).info.reason == "QUOTA"


def test_within_moves_the_violation_below_the_parent() -> None:
    error = errors.InvalidArgumentError("content.text", "must not be blank").within("requests[3].event")
    assert error.violations == (errors.FieldViolation("requests[3].event.content.text", "must not be blank"),)
    assert error.message == "requests[3].event.content.text: must not be blank"


def test_internal_error_says_nothing_unless_told_to() -> None:
    assert errors.InternalError().message == "internal error"


def test_status_of_a_server_that_attaches_nothing_has_code_and_message() -> None:
    failure = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details="connection refused"
    )
    assert status.status_of(failure) == status_pb2.Status(code=14, message="connection refused")
    assert status.reason_of(failure) == ""


def test_status_of_details_that_are_not_a_status_has_code_and_message() -> None:
    failure = received(errors.NotFoundError("no such thing"), b"\xff\xff\xff")
    assert status.status_of(failure) == status_pb2.Status(code=5, message="no such thing")


@pytest.mark.parametrize("letter", ["x", "é", "漢", "😀"])
def test_a_status_fits_into_headers_however_much_it_quotes(letter: str) -> None:
    sent = status.to_status(errors.InvalidArgumentError(letter * 100_000, letter * 100_000), "r" * 128)
    escaped = 3 * len(sent.message.encode()) + len(sent.SerializeToString()) * 4 / 3
    assert escaped < 8 * 1024 - 1024  # a kilobyte for the other trailing metadata
    assert sent.message.startswith(letter * 100)
