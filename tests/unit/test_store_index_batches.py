"""Files of a stream on their way in: how much of what callers say is in memory."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from servicekit.errors import DeadlineExceededError
from store.repositories.memory_code import MemoryCode, MemoryIndexing
from store.use_cases import index_batches
from store.use_cases.index_batches import Batch, Settle, read_batches
from store.use_cases.index_items import FileContent, FileItem, FileUnchanged
from tests.code_files import ThreadCutter

MIB = 1024 * 1024


async def batches_of(*items: FileItem) -> tuple[list[Batch], list[int]]:
    """What becomes of a stream, and how much of it was read when each batch came."""
    taken = 0

    async def stream() -> AsyncIterator[FileItem]:
        nonlocal taken
        for item in items:
            taken += 1
            yield item

    batches, read = [], []
    async with MemoryCode().indexing("r") as indexing:
        assert isinstance(indexing, MemoryIndexing)
        async for batch in read_batches(stream(), indexing, Settle(ThreadCutter(), "r", MIB)):
            batches.append(batch)
            read.append(taken)
    return batches, read


async def test_who_is_silent_for_long_is_taken_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_batches, "_PAUSE", 0.001)
    monkeypatch.setattr(index_batches, "_SILENCE", 0.01)
    settled = []

    async def stream() -> AsyncIterator[FileItem]:
        yield FileContent("a.py", b"")
        await asyncio.sleep(60)

    async def read() -> None:
        async with MemoryCode().indexing("r") as indexing:
            assert isinstance(indexing, MemoryIndexing)
            async for batch in read_batches(stream(), indexing, Settle(ThreadCutter(), "r", MIB)):
                settled.extend(batch.fates)

    before = asyncio.all_tasks()
    with pytest.raises(DeadlineExceededError, match="no message"):
        await read()
    assert [fate.path for fate in settled] == ["a.py"]
    assert asyncio.all_tasks() <= before


@pytest.mark.parametrize(
    "large",
    [FileContent("p" * MIB, b""), FileUnchanged("p" * MIB, ""), FileUnchanged("a.py", "0" * MIB)],
    ids=["path", "unchanged path", "hash"],
)
async def test_paths_and_hashes_count_as_what_is_in_memory(large: FileItem) -> None:
    batches, read = await batches_of(*[large] * 20)

    assert sum(len(batch.fates) for batch in batches) == 20
    assert read[0] <= 4


@pytest.mark.parametrize("letter", ["p", "é", "𐍈"])
async def test_of_a_path_that_is_refused_only_the_beginning_is_kept(letter: str) -> None:
    [batch], _ = await batches_of(FileContent(letter * 5000, b""))

    assert [(fate.path, str(fate.error)) for fate in batch.fates] == [
        (letter * (1024 // len(letter.encode())), "file.path: must have at most 1024 bytes")
    ]
