"""`trimem remember`, `search` and `events`: what they ask, print and end with."""

import io
import json
from collections.abc import Iterator

import grpc
import pytest

from tests.fixtures_command_line import EVENTS, ID, Read, Terminal, event, reader, terminal_beside
from trimem.store.v1 import event_service_pb2 as pb


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with terminal_beside() as made:
        yield made


@pytest.fixture
def read(capsys: pytest.CaptureFixture[str]) -> Read:
    return reader(capsys)


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


def test_remember_reads_stdin(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe"))
    ended = terminal.start("remember", "-")
    request = terminal.answer(EVENTS, "CreateEvent", pb.CreateEventResponse(event=event()))
    assert request.event.content["text"] == "from a pipe"
    assert ended.result() == 0


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
