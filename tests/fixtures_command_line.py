"""The command `trimem` over a channel that is no network."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc_testing
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2

from trimem.client.cli.app import run
from trimem.client.cli.session import Session
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2 as pb

EVENTS = pb.DESCRIPTOR.services_by_name["EventService"]
EMBEDDING = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]
HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]

ID = "0198c5a0-7b1e-7c3a-9f00-2b6d1c9e4a11"

#: What was printed on stdout and stderr.
Read = Callable[[], tuple[str, str]]


@dataclass
class Terminal:
    """Runs command lines beside the test, which is the server."""

    channel: Any = field(
        default_factory=lambda: grpc_testing.channel([EVENTS, EMBEDDING, HEALTH], grpc_testing.strict_real_time())
    )
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def start(self, *arguments: str) -> "Future[int]":
        """Run `trimem ARGUMENTS` in a thread."""
        return self.thread.submit(run, arguments, Session(channel=self.channel))

    def answer(self, service: Any, method: str, answer: Any) -> Any:
        """Wait for a call, answer it, and return its request."""
        _metadata, request, rpc = self.channel.take_unary_unary(service.methods_by_name[method])
        rpc.send_initial_metadata(())
        rpc.terminate(answer, (), grpc.StatusCode.OK, "")
        return request

    def be_there(self) -> None:
        """Answer the question with which long work begins."""
        for _ in range(3):
            self.answer(HEALTH, "Check", health_pb2.HealthCheckResponse(status=1))

    def fail(self, service: Any, method: str, code: grpc.StatusCode, message: str, reason: str = "") -> None:
        """Wait for a call and let it fail."""
        _metadata, _request, rpc = self.channel.take_unary_unary(service.methods_by_name[method])
        status = status_pb2.Status(code=code.value[0], message=message)
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="trimem"))
        rpc.send_initial_metadata(())
        rpc.terminate(None, (("grpc-status-details-bin", status.SerializeToString()),), code, message)


@contextmanager
def terminal_beside() -> Iterator[Terminal]:
    """A terminal beside the test."""
    made = Terminal()
    yield made
    made.thread.shutdown(cancel_futures=True)


def reader(capsys: pytest.CaptureFixture[str]) -> Read:
    """Reads what was printed since it was read before."""

    def read_both() -> tuple[str, str]:
        output, problems = capsys.readouterr()
        return output, problems

    return read_both


def event(text: str = "hello", **fields: Any) -> pb.Event:
    """An event as the store answers it."""
    made = pb.Event(**{"id": ID, "embedding_state": pb.EMBEDDING_STATE_EMBEDDED, **fields})
    for name in ("timestamp", "create_time", "update_time"):
        getattr(made, name).FromDatetime(datetime(2026, 1, 31, 12, tzinfo=UTC))
    made.content.update({"text": text})
    return made
