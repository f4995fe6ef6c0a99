"""`trimem export` and `import`: what they ask, write and end with."""

import json
import os
import pty
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2

from tests.fixtures_command_line import EVENTS, ID, Read, Terminal, event, reader, terminal_beside
from trimem.client.cli.app import run
from trimem.store.v1 import event_service_pb2 as pb


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with terminal_beside() as made:
        yield made


@pytest.fixture
def read(capsys: pytest.CaptureFixture[str]) -> Read:
    return reader(capsys)


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


def test_an_export_takes_the_place_of_the_last_one_when_it_is_whole(terminal: Terminal, tmp_path: Path) -> None:
    kept, part = tmp_path / "memory.ndjson", tmp_path / "memory.ndjson.part"
    kept.write_text("yesterday")
    kept.chmod(0o600)
    page = pb.ListEventsResponse(events=[event()], next_page_token="more")

    ended = terminal.start("export", "-o", str(kept))
    terminal.be_there()
    terminal.answer(EVENTS, "ListEvents", page)
    terminal.fail(EVENTS, "ListEvents", grpc.StatusCode.INTERNAL, "internal error")
    assert ended.result() == 1
    assert kept.read_text() == "yesterday"
    assert json.loads(part.read_text())["id"] == ID

    ended = terminal.start("export", "-o", str(kept))
    terminal.be_there()
    terminal.answer(EVENTS, "ListEvents", page)
    terminal.answer(EVENTS, "ListEvents", pb.ListEventsResponse(events=[event()]))
    assert ended.result() == 0
    assert [json.loads(line)["id"] for line in kept.read_text().splitlines()] == [ID, ID]
    assert kept.stat().st_mode & 0o777 == 0o600
    assert not part.exists()


def test_an_export_into_a_pipe_leaves_it_a_pipe(terminal: Terminal, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)) as reading:
        ended = terminal.start("export", "-o", str(pipe))
        terminal.be_there()
        terminal.answer(EVENTS, "ListEvents", pb.ListEventsResponse(events=[event()]))
        assert ended.result() == 0
        assert json.loads(reading.read())["id"] == ID
    assert pipe.is_fifo()


def test_an_export_that_cannot_be_written_is_a_wrong_command_line(
    terminal: Terminal, read: Read, tmp_path: Path
) -> None:
    ended = terminal.start("export", "-o", str(tmp_path / "nowhere" / "memory.ndjson"))
    terminal.be_there()
    assert ended.result() == 2
    assert "cannot be written: No such file or directory" in read()[1]


def test_an_export_that_finds_nobody_leaves_the_last_one_as_it_was(tmp_path: Path) -> None:
    kept = tmp_path / "yesterday.ndjson"
    kept.write_text("{}\n")

    assert run(["--url", "127.0.0.1:1", "export", "-o", str(kept)]) == 4

    assert kept.read_text() == "{}\n"


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


def test_an_import_at_a_terminal_shows_how_far_it_is_and_leaves_no_trace(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.ndjson"
    source.write_text("".join(f'{{"content": {{"n": {n}}}}}\n' for n in range(3)))
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    with os.fdopen(slave, "w", encoding="utf-8") as screen:
        monkeypatch.setattr("sys.stderr", screen)
        ended = terminal.start("import", str(source))
        terminal.be_there()
        results = [pb.BatchCreateEventsResult(event=event())] * 3
        terminal.answer(EVENTS, "BatchCreateEvents", pb.BatchCreateEventsResponse(results=results))
        assert ended.result() == 0
    shown = all_of(master)

    assert "importing" in shown
    assert "━" in shown
    _, found, rest = shown.rpartition("3 events")
    assert found
    assert "\x1b[2K" in rest  # the line is cleared
    assert capsys.readouterr().out == "3 stored, 0 were there already, 0 rejected\n"


def all_of(master: int) -> str:
    """What was written to a terminal that nobody has open any more."""
    pieces = []
    with suppress(OSError), os.fdopen(master, "rb", buffering=0) as screen:
        while piece := screen.read(65536):
            pieces.append(piece)
    return b"".join(pieces).decode()
