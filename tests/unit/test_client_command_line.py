"""The command `trimem` as a whole, and its commands for the services: what it asks, prints and ends with."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2

from tests.fixtures_command_line import EMBEDDING, HEALTH, Read, Terminal, reader, terminal_beside
from trimem.client.cli.app import run
from trimem.embedding.v1 import embedding_pb2


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with terminal_beside() as made:
        yield made


@pytest.fixture
def read(capsys: pytest.CaptureFixture[str]) -> Read:
    return reader(capsys)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 1),
        (grpc.StatusCode.INTERNAL, 1),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 4),
        (grpc.StatusCode.UNAUTHENTICATED, 1),
    ],
)
def test_an_error_is_one_line_and_an_exit_status(
    terminal: Terminal, read: Read, code: grpc.StatusCode, status: int
) -> None:
    ended = terminal.start("models")
    terminal.fail(EMBEDDING, "ListModels", code, "it\nwent\x1b[31m wrong", "SOMETHING")
    assert ended.result() == status
    output, problems = read()
    assert output == ""
    assert problems.count("\n") == 1
    assert "wrong" in problems
    assert "\x1b" not in problems


def test_unavailable_is_exit_status_4_after_the_retries(terminal: Terminal, read: Read) -> None:
    ended = terminal.start("models")
    for _ in range(4):
        terminal.fail(EMBEDDING, "ListModels", grpc.StatusCode.UNAVAILABLE, "the store cannot be reached", "BACKEND")
    assert ended.result() == 4
    assert "the store cannot be reached" in read()[1]


def test_models_are_a_table_or_a_document(terminal: Terminal, read: Read) -> None:
    answer = embedding_pb2.ListModelsResponse(
        models=[
            embedding_pb2.ModelInfo(
                domain=embedding_pb2.DOMAIN_CODE,
                name="owner/name",
                revision="r1",
                dimension=384,
                fingerprint="f" * 64,
                state=embedding_pb2.MODEL_STATE_READY,
            )
        ]
    )
    ended = terminal.start("models")
    terminal.answer(EMBEDDING, "ListModels", answer)
    assert ended.result() == 0
    assert "owner/name@r1" in read()[0]
    ended = terminal.start("models", "--json")
    terminal.answer(EMBEDDING, "ListModels", answer)
    assert ended.result() == 0
    assert json.loads(read()[0])["models"][0]["state"] == "READY"


@pytest.mark.parametrize(("store_serves", "status"), [(True, 0), (False, 4)])
def test_status_says_what_answers(terminal: Terminal, read: Read, store_serves: bool, status: int) -> None:
    ended = terminal.start("status", "--json")
    good, bad = (health_pb2.HealthCheckResponse(status=number) for number in (1, 2))
    assert terminal.answer(HEALTH, "Check", good).service == ""
    assert "EventService" in terminal.answer(HEALTH, "Check", good if store_serves else bad).service
    assert "EmbeddingService" in terminal.answer(HEALTH, "Check", good).service
    assert ended.result() == status
    services = json.loads(read()[0])["services"]
    assert services == {
        "trimem.store.v1.EventService": store_serves,
        "trimem.embedding.v1.EmbeddingService": True,
    }


def test_texts_are_embedded_and_one_that_is_refused_fails_alone(terminal: Terminal, read: Read) -> None:
    ended = terminal.start("embed", "tea", "", "--json")
    _metadata, rpc = terminal.channel.take_stream_stream(EMBEDDING.methods_by_name["EmbedStream"])
    assert [rpc.take_request().input for _ in range(2)] == ["tea", ""]
    rpc.requests_closed()
    rpc.send_initial_metadata(())
    vector = embedding_pb2.Vector(values=[0.5, 0.25])
    rpc.send_response(embedding_pb2.EmbedStreamResponse(embedding=embedding_pb2.Embedding(text=vector, token_count=3)))
    rpc.send_response(embedding_pb2.EmbedStreamResponse(error=status_pb2.Status(code=3, message="input: is blank")))
    rpc.terminate((), grpc.StatusCode.OK, "")
    assert ended.result() == 1
    first, second = map(json.loads, read()[0].splitlines())
    assert first["embedding"]["text"] == [0.5, 0.25]
    assert second == {"index": 1, "error": {"code": "INVALID_ARGUMENT", "message": "input: is blank"}}


@pytest.mark.parametrize(
    "arguments",
    [
        ("search",),
        ("search", "tea", "--bogus"),
        ("search", "tea", "-n", "0"),
        ("search", "tea", "--since", "yesterday"),
        ("remember", "tea", "-m", "novalue"),
        ("remember", "   "),
        ("import", "/nowhere/at/all"),
        ("nonsense",),
        ("--url", "https://", "status"),
    ],
)
def test_a_wrong_command_line_is_exit_status_2_and_one_line(arguments: tuple[str, ...], read: Read) -> None:
    assert run(arguments) == 2
    output, problems = read()
    assert output == ""
    assert problems.startswith("trimem: ")
    assert problems.count("\n") == 1


@pytest.mark.parametrize(
    "command", ["status", "remember", "search", "events list", "events get", "import", "export", "embed", "models"]
)
def test_every_command_has_help_with_examples(command: str, read: Read) -> None:
    assert run([*command.split(), "--help"]) == 0
    assert f"trimem {command}" in read()[0].partition("Examples:")[2]


def test_help_names_all_commands_and_exit_statuses(read: Read) -> None:
    assert run(["--help"]) == 0
    output, _ = read()
    for word in ("status", "remember", "search", "events", "import", "export", "embed", "models", "keys", "130", "141"):
        assert f"  {word} " in output, word
    assert "--install-completion" in output


def test_the_api_key_comes_from_a_file(terminal: Terminal, tmp_path: Any) -> None:
    (tmp_path / "key").write_text("trimem_a_b\n")
    ended = terminal.start("--api-key-file", str(tmp_path / "key"), "models")
    metadata, _request, rpc = terminal.channel.take_unary_unary(EMBEDDING.methods_by_name["ListModels"])
    rpc.send_initial_metadata(())
    rpc.terminate(embedding_pb2.ListModelsResponse(), (), grpc.StatusCode.OK, "")
    assert ended.result() == 0
    assert ("authorization", "Bearer trimem_a_b") in metadata


def test_a_key_file_that_is_not_there_is_named(read: Read) -> None:
    assert run(["--api-key-file", "/nowhere", "models"]) == 2
    assert "--api-key-file /nowhere cannot be read" in read()[1]


@pytest.mark.parametrize("arguments", [("search", "\udcff"), ("embed", "fine", "\udcff"), ("remember", "\udcff")])
def test_bytes_that_are_no_text_are_an_error_in_one_line(
    terminal: Terminal, read: Read, arguments: tuple[str, ...]
) -> None:
    assert terminal.start(*arguments).result() == 1
    output, problems = read()
    assert output == ""
    assert problems.count("\n") == 1


def test_a_table_for_a_reader_that_left_ends_like_other_output() -> None:
    source = (
        "from trimem.client.cli.output import show_table\n"
        "try:\n    show_table(['A'], [['a']])\n"
        "except BrokenPipeError:\n    import os; os._exit(42)"
    )
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as output:
        done = subprocess.run([sys.executable, "-c", source], stdout=output, check=False)
    assert done.returncode == 42


_HANGS = """
import signal, threading
from trimem.client.cli import app

def run(_arguments):
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        threading.Event().wait()

app.run, app._CLOSING_SECONDS = run, 0.1
app.main()
"""


def test_ctrl_c_ends_a_command_whose_connection_does_not_close() -> None:
    assert subprocess.run([sys.executable, "-c", _HANGS], timeout=60, check=False).returncode == 130
