"""The command line and the client on a real store behind the real gateway."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from servicekit.errors import UnavailableError
from tests.conftest import NewDatabase
from tests.fixtures_gateway import gateway
from tests.fixtures_store import StoreUnderTest, stores
from trimem.client import AsyncTrimemClient, NewEvent, RetryPolicy, SearchMode
from trimem.client.cli import session
from trimem.client.cli.app import run
from trimem.client.cli.session import Session


@dataclass
class Memory:
    """A store behind a gateway."""

    store: StoreUnderTest
    target: str

    async def trimem(self, *arguments: str) -> int:
        """Run the command line beside the servers."""
        return await asyncio.to_thread(run, ["--url", self.target, *arguments], Session())

    async def count(self) -> int:
        [row] = await self.store.rows("SELECT count(*) FROM events")
        return int(row[0])

    async def contents(self) -> list[tuple[Any, ...]]:
        """What export and import keep of an event."""
        rows = await self.store.rows("SELECT id, timestamp, content, metadata FROM events ORDER BY id")
        return [tuple(row) for row in rows]


StartMemory = Callable[[], Awaitable[Memory]]


@pytest_asyncio.fixture
async def start_memory(new_database: NewDatabase) -> AsyncIterator[StartMemory]:
    """Starts empty ones."""
    async with AsyncExitStack() as stack:
        start_store = await stack.enter_async_context(stores(new_database))

        async def start() -> Memory:
            store = await start_store()
            rig = await stack.enter_async_context(gateway(store_target=store.target))
            return Memory(store, f"127.0.0.1:{rig.grpc_port}")

        yield start


@pytest_asyncio.fixture
async def memory(start_memory: StartMemory) -> Memory:
    return await start_memory()


def counts(capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    """What an import with --json printed, between the logs of the servers."""
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith('{"stored"')]
    found: dict[str, int] = json.loads(line)
    return found


def write_lines(path: Path, first: int, count: int) -> None:
    """Events without ids: those are made of what the lines say."""
    with path.open("w") as file:
        for n in range(first, first + count):
            file.write(json.dumps({"content": {"text": f"note {n}"}, "metadata": {"n": n}}) + "\n")


async def test_an_import_that_is_broken_off_goes_on_and_writes_nothing_twice(
    memory: Memory, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PATIENT", RetryPolicy(attempts=1))
    path = tmp_path / "notes.ndjson"
    write_lines(path, 0, 1000)
    importing_task = asyncio.create_task(memory.trimem("import", str(path)))
    async with asyncio.timeout(60):
        while await memory.count() < 200:
            await asyncio.sleep(0.005)
    await memory.store.rows("ALTER TABLE events RENAME TO elsewhere")  # an interruption, for the store too
    assert await importing_task != 0
    await memory.store.rows("ALTER TABLE elsewhere RENAME TO events")
    stored = await memory.count()
    assert 200 <= stored < 1000
    assert "broken off after" in capsys.readouterr().err

    memory.store.embedder.calls.clear()
    assert await memory.trimem("import", str(path), "--json") == 0
    assert await memory.count() == 1000
    assert counts(capsys) == {
        "stored": 1000 - stored,
        "existing": stored,
        "rejected": 0,
        "pending": 0,
    }
    texts = [text for call in memory.store.embedder.calls for text in call]
    assert len(texts) == 1000 - stored, "what is stored is not embedded again"

    memory.store.embedder.calls.clear()
    assert await memory.trimem("import", str(path), "--json") == 0
    assert counts(capsys)["existing"] == 1000
    assert memory.store.embedder.calls == []


async def test_an_import_of_an_export_is_the_same(start_memory: StartMemory, tmp_path: Path) -> None:
    first, second = await start_memory(), await start_memory()
    events: list[dict[str, Any]] = [
        {"text": "Grüße 🚂", "n": 1.5, "big": 2**53, "tiny": 1e-300, "deep": {"a": [None, True, {"b": []}]}},
        {"text": "line\nbreak and \u2028 and tab\t"},
        {"text": "no metadata", "empty": {}},
    ]
    async with AsyncTrimemClient(first.target) as client:
        for number, content in enumerate(events):
            await client.create(NewEvent(content=content, metadata={"number": number, "of": {"nested": [1, "2"]}}))
        await client.import_events(NewEvent(content={"text": f"note {n}"}) for n in range(1500))
    path = tmp_path / "memory.ndjson"
    assert await first.trimem("export", "-o", str(path)) == 0
    assert len(path.read_text(encoding="utf-8").split("\n")) == 1503 + 1
    assert await second.trimem("import", str(path)) == 0
    assert await second.contents() == await first.contents()
    assert await second.trimem("export", "-o", str(tmp_path / "again.ndjson")) == 0
    assert (tmp_path / "again.ndjson").read_bytes() == path.read_bytes()


async def test_an_export_in_pieces_of_time_is_the_whole(memory: Memory, tmp_path: Path) -> None:
    write_lines(tmp_path / "notes.ndjson", 0, 50)
    lines = [json.loads(line) for line in (tmp_path / "notes.ndjson").read_text().splitlines()]
    for n, line in enumerate(lines):
        line["timestamp"] = f"2026-0{n % 3 + 1}-10T12:00:00Z"
    (tmp_path / "notes.ndjson").write_text("\n".join(json.dumps(line) for line in lines))
    assert await memory.trimem("import", str(tmp_path / "notes.ndjson")) == 0
    pieces = [("--since", "2026-03-01"), ("--since", "2026-02-01", "--until", "2026-03-01"), ("--until", "2026-02-01")]
    text = ""
    for number, piece in enumerate(pieces):
        path = tmp_path / f"{number}.ndjson"
        assert await memory.trimem("export", *piece, "-o", str(path)) == 0
        text += path.read_text()
    assert await memory.trimem("export", "-o", str(tmp_path / "whole.ndjson")) == 0
    assert (tmp_path / "whole.ndjson").read_text() == text
    assert text.count("\n") == 50


async def test_bad_lines_are_kept_with_their_reasons_and_can_be_mended(memory: Memory, tmp_path: Path) -> None:
    source, rejects = tmp_path / "in.ndjson", tmp_path / "rejects.ndjson"
    good = [json.dumps({"content": {"text": f"note {n}"}}) for n in range(300)]
    bad = {
        10: '{"content": {"text": "not a text: \\u0000"}}',
        150: '{"content": {"text": "half',
        200: '{"id": "no-uuid", "content": {"text": "tea"}}',
        299: '{"content": {}}',
    }
    lines = [bad.get(number, line) for number, line in enumerate(good, start=1)]
    source.write_text("\n".join(lines))
    assert await memory.trimem("import", str(source), "--rejects", str(rejects)) == 1
    assert await memory.count() == 296
    found = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert sorted((one["line"], one["text"]) for one in found) == list(bad.items())
    reasons = {one["line"]: one["reason"] for one in found}
    assert "U+0000" in reasons[10]
    assert "is not JSON" in reasons[150]
    assert "must be a UUID" in reasons[200]
    assert "must not be empty" in reasons[299]
    source.write_text("\n".join(good))
    assert await memory.trimem("import", str(source), "--rejects", str(rejects)) == 0
    assert await memory.count() == 300
    assert rejects.read_text() == ""


async def test_equal_lines_without_ids_are_one_event(
    memory: Memory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.ndjson"
    path.write_text('{"content": {"text": "tea"}}\n' * 300)
    assert await memory.trimem("import", str(path), "--json") == 0
    assert counts(capsys)["existing"] == 299
    assert await memory.count() == 1


async def test_events_that_wait_for_the_embedder_are_told(
    memory: Memory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory.store.embedder.trouble = UnavailableError("gone fishing")
    write_lines(tmp_path / "in.ndjson", 0, 3)
    assert await memory.trimem("import", str(tmp_path / "in.ndjson")) == 0
    assert "3 stored" in (output := capsys.readouterr().out)
    assert "3 will be embedded later" in output


async def test_an_event_lives_and_is_found_through_the_client(memory: Memory) -> None:
    async with AsyncTrimemClient(memory.target) as client:
        event = await client.remember("Ada prefers the window seat", metadata={"person": "ada"})
        again = await client.create(NewEvent(content=event.content, request_id="seat"))
        assert (await client.create(NewEvent(content=event.content, request_id="seat"))).id == again.id
        page = await client.search("window seat", metadata_filter={"person": "ada"})
        assert [hit.event for hit in page.hits] == [event]
        assert page.mode is SearchMode.HYBRID
        changed = await client.update(event.id, content={"text": "Ada prefers the aisle"})
        assert changed.metadata == event.metadata
        assert await client.get(event.id) == changed
        await client.delete(event.id)
        assert [one.id async for one in client.list()] == [again.id]
