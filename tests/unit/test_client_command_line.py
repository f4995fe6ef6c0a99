"""The command `trimem` over a channel that is no network: what it asks, prints and ends with."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
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


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.thread.shutdown(cancel_futures=True)


Read = Callable[[], tuple[str, str]]


@pytest.fixture
def read(capsys: pytest.CaptureFixture[str]) -> Read:
    """What was printed on stdout and stderr."""

    def read_both() -> tuple[str, str]:
        output, problems = capsys.readouterr()
        return output, problems

    return read_both


def event(text: str = "hello", **fields: Any) -> pb.Event:
    made = pb.Event(**{"id": ID, "embedding_state": pb.EMBEDDING_STATE_EMBEDDED, **fields})
    for name in ("timestamp", "create_time", "update_time"):
        getattr(made, name).FromDatetime(datetime(2026, 1, 31, 12, tzinfo=UTC))
    made.content.update({"text": text})
    return made


def test_remember_prints_the_id(terminal: Terminal, read: Read) -> None:
    ended = terminal.start("remember", "tea", "-m", "person=ada", "-m", "year=2026", "-m", "a=b=c")
    request = terminal.answer(EVENTS, "CreateEvent", pb.CreateEventResponse(event=event()))
    assert ended.result() == 0
    assert dict(request.event.metadata.items()) == {"person": "ada", "year": 2026, "a": "b=c"}
    assert request.event.content["text"] == "tea"
    assert read() == (f"{ID}\n", "")


def test_remember_prints_the_event_as_json(terminal: Terminal, read: Read) -> None:
    ended = terminal.start("remember", "tea", "--at", "2026-01-31", "--json")
    request = terminal.answer(EVENTS, "CreateEvent", pb.CreateEventResponse(event=event()))
    assert request.event.timestamp.ToJsonString() == "2026-01-31T00:00:00Z"
    assert ended.result() == 0
    assert json.loads(read()[0]) == {
        "id": ID,
        "timestamp": "2026-01-31T12:00:00Z",
        "content": {"text": "hello"},
        "metadata": {},
        "embedding_state": "EMBEDDED",
        "create_time": "2026-01-31T12:00:00Z",
        "update_time": "2026-01-31T12:00:00Z",
        "embedding_error": "",
        "embedding_attempts": 0,
    }


def test_a_search_goes_on_until_it_has_enough_hits(terminal: Terminal, read: Read) -> None:
    ended = terminal.start("search", "tea", "-n", "150", "--mode", "lexical", "--until", "2026-01-31T18:30:00+01:00")
    hits = [pb.SearchHit(event=event("a cup of tea"), score=0.75)]
    more = pb.SearchEventsResponse(hits=hits, mode=pb.SEARCH_MODE_LEXICAL, next_page_token="more")
    request = terminal.answer(EVENTS, "SearchEvents", more)
    assert (request.page_size, request.mode) == (100, pb.SEARCH_MODE_LEXICAL)
    assert request.end_time.ToJsonString() == "2026-01-31T17:30:00Z"
    last = pb.SearchEventsResponse(hits=hits, mode=pb.SEARCH_MODE_LEXICAL, complete=False, degraded=True)
    assert terminal.answer(EVENTS, "SearchEvents", last).page_token == "more"
    assert ended.result() == 0
    output, problems = read()
    assert [line.split()[0] for line in output.splitlines()] == ["SCORE", "0.750", "0.750"]
    assert output.count("a cup of tea") == 2
    assert "embedder cannot be reached" in problems
    assert "there may be better hits" in problems


def test_a_search_is_one_document_for_scripts(terminal: Terminal, read: Read) -> None:
    ended = terminal.start("search", "tea", "--json")
    hits = [pb.SearchHit(event=event(), score=0.5)]
    terminal.answer(
        EVENTS, "SearchEvents", pb.SearchEventsResponse(hits=hits, mode=pb.SEARCH_MODE_HYBRID, complete=True)
    )
    assert ended.result() == 0
    document = json.loads(read()[0])
    assert document["hits"][0]["event"]["id"] == ID
    assert (document["mode"], document["complete"], document["degraded"]) == ("HYBRID", True, False)


def test_what_others_wrote_does_not_steer_the_terminal(terminal: Terminal, read: Read) -> None:
    ended = terminal.start("search", "tea")
    hits = [pb.SearchHit(event=event("\x1b]0;owned\x07 \x9b2J [red]plain[/] \u202eevil"))]
    terminal.answer(EVENTS, "SearchEvents", pb.SearchEventsResponse(hits=hits, complete=True))
    assert ended.result() == 0
    output, _ = read()
    assert all(character.isprintable() for character in output.replace("\n", ""))
    assert "[red]plain[/]" in output


def test_events_are_listed_up_to_a_limit(terminal: Terminal, read: Read) -> None:
    ended = terminal.start("events", "list", "-n", "3", "--state", "failed", "--json")
    page = pb.ListEventsResponse(events=[event(), event()], next_page_token="more")
    request = terminal.answer(EVENTS, "ListEvents", page)
    assert (request.page_size, request.embedding_state) == (3, pb.EMBEDDING_STATE_FAILED)
    terminal.answer(EVENTS, "ListEvents", page)
    assert ended.result() == 0
    assert [json.loads(line)["id"] for line in read()[0].splitlines()] == [ID] * 3


def test_an_event_is_shown(terminal: Terminal, read: Read) -> None:
    ended = terminal.start("events", "get", ID)
    terminal.answer(EVENTS, "GetEvent", pb.GetEventResponse(event=event("a cup\nof tea")))
    assert ended.result() == 0
    output, _ = read()
    assert output.splitlines()[0].split() == ["id", ID]
    assert '"text": "a cup\\nof tea"' in output


def test_an_event_that_is_not_there_is_exit_status_3(terminal: Terminal, read: Read) -> None:
    ended = terminal.start("events", "get", ID)
    terminal.fail(EVENTS, "GetEvent", grpc.StatusCode.NOT_FOUND, f"no event has the id {ID}", "EVENT_NOT_FOUND")
    assert ended.result() == 3
    output, problems = read()
    assert output == ""
    assert problems.startswith(f"trimem: no event has the id {ID} [request ")
    assert problems.count("\n") == 1


def test_a_delete_goes_on_after_one_that_is_not_there(terminal: Terminal, read: Read) -> None:
    ended = terminal.start("events", "delete", "one", "two")
    terminal.fail(EVENTS, "DeleteEvent", grpc.StatusCode.NOT_FOUND, "no event has the id one", "EVENT_NOT_FOUND")
    assert terminal.answer(EVENTS, "DeleteEvent", pb.DeleteEventResponse()).id == "two"
    assert ended.result() == 3


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


def test_export_writes_what_makes_an_event(terminal: Terminal, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    ended = terminal.start("export", "--since", "2026-01-01")
    terminal.be_there()
    request = terminal.answer(EVENTS, "ListEvents", pb.ListEventsResponse(events=[event("süß")]))
    assert ended.result() == 0
    assert request.page_size == 1000
    assert json.loads(capfdbinary.readouterr().out.decode()) == {
        "id": ID,
        "timestamp": "2026-01-31T12:00:00Z",
        "content": {"text": "süß"},
        "metadata": {},
    }


def test_an_export_that_breaks_off_says_how_to_go_on(terminal: Terminal, read: Read) -> None:
    ended = terminal.start("export")
    terminal.be_there()
    terminal.answer(EVENTS, "ListEvents", pb.ListEventsResponse(events=[event()], next_page_token="more"))
    terminal.fail(EVENTS, "ListEvents", grpc.StatusCode.INTERNAL, "internal error")
    assert ended.result() == 1
    assert "--until 2026-01-31T12:00:00.000001Z goes on" in read()[1]


def test_lines_are_imported_and_bad_ones_rejected_with_reasons(terminal: Terminal, read: Read, tmp_path: Any) -> None:
    source, rejects = tmp_path / "in.ndjson", tmp_path / "out.ndjson"
    source.write_text(
        '{"content": {"text": "one"}}\nnonsense\n\n{"content": {}}\n{"content": {"n": 3}, "id": "taken"}\n'
    )
    ended = terminal.start("import", str(source), "--rejects", str(rejects), "--json")
    terminal.be_there()
    results = [
        pb.BatchCreateEventsResult(event=event()),
        pb.BatchCreateEventsResult(error=status_pb2.Status(code=3, message="event.content: must not be empty")),
        pb.BatchCreateEventsResult(error=status_pb2.Status(code=6, message="it is there")),
    ]
    request = terminal.answer(EVENTS, "BatchCreateEvents", pb.BatchCreateEventsResponse(results=results))
    assert [one.event.content["text"] for one in request.requests[:1]] == ["one"]
    assert request.requests[2].event.id == "taken"
    assert ended.result() == 1
    assert json.loads(read()[0]) == {"stored": 1, "existing": 1, "rejected": 2, "pending": 0}
    first, second = map(json.loads, rejects.read_text().splitlines())
    assert (first["line"], first["text"]) == (2, "nonsense")
    assert first["reason"].startswith("is not JSON")
    assert second == {"line": 4, "reason": "event.content: must not be empty", "text": '{"content": {}}'}


def test_an_import_that_breaks_off_says_what_is_stored(terminal: Terminal, read: Read, tmp_path: Any) -> None:
    source = tmp_path / "in.ndjson"
    source.write_text("".join(f'{{"content": {{"n": {n}}}}}\n' for n in range(200)))
    ended = terminal.start("import", str(source))
    terminal.be_there()
    results = [pb.BatchCreateEventsResult(event=event())] * 128
    terminal.answer(EVENTS, "BatchCreateEvents", pb.BatchCreateEventsResponse(results=results))
    terminal.fail(EVENTS, "BatchCreateEvents", grpc.StatusCode.FAILED_PRECONDITION, "another model", "MISMATCH")
    assert ended.result() == 1
    output, problems = read()
    assert output == ""
    assert "broken off after 128 stored" in problems
    assert "another model" in problems


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


def test_an_export_that_finds_nobody_leaves_the_last_one_as_it_was(tmp_path: Path) -> None:
    kept = tmp_path / "yesterday.ndjson"
    kept.write_text("{}\n")

    assert run(["--url", "127.0.0.1:1", "export", "-o", str(kept)]) == 4

    assert kept.read_text() == "{}\n"


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


def test_remember_reads_stdin(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe"))
    ended = terminal.start("remember", "-")
    request = terminal.answer(EVENTS, "CreateEvent", pb.CreateEventResponse(event=event()))
    assert request.event.content["text"] == "from a pipe"
    assert ended.result() == 0


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
