"""Storing a stream of source files of any length."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Protocol

import structlog

from servicekit.errors import InternalError, InvalidArgumentError, TrimemError
from store.code.paths import accept_repository
from store.repositories.code import CodeRepository, Indexing
from store.repositories.graph import GraphRepository
from store.use_cases.ahead import ahead
from store.use_cases.commit_code import commit_code
from store.use_cases.cutter import Cutter
from store.use_cases.embed_code import EmbedCode
from store.use_cases.index_batches import Batch, Settle, embed_batches, read_batches
from store.use_cases.index_items import Commit, FileFate, FileItem, IndexItem, IndexSummary
from store.use_cases.indexing_room import IndexingRoom


class IndexObserver(Protocol):
    """Hears of what is stored."""

    def indexed(self, files: int, chunks: int, embedded: int) -> None:
        """So many more files and chunks are stored, so many of the latter with new vectors."""


class IndexFiles:
    """Stores files batch by batch, in order.

    While one batch is written, the next one is embedded, and the one after that is read and cut.
    """

    def __init__(
        self,
        code: CodeRepository,
        graph: GraphRepository,
        cutter: Cutter,
        embed: EmbedCode,
        observer: IndexObserver,
        *,
        room: IndexingRoom,
        most_bytes: int,
    ) -> None:
        """Files of up to `most_bytes`."""
        self._code = code
        self._graph = graph
        self._cutter = cutter
        self._embed = embed
        self._observer = observer
        self._most_bytes = most_bytes
        self._room = room

    async def run(self, items: AsyncIterator[IndexItem]) -> IndexSummary:
        """Store all files of a stream, and commit when it says so.

        Raises what is wrong with the stream as a whole or stands in the way of all files. The error says in `metadata`
        how many files from the start of the stream are settled.
        """
        summary = IndexSummary()
        try:
            await self._run(items, summary)
        except TrimemError as error:
            error.metadata["settled_count"] = str(summary.settled)
            raise
        return summary

    async def _run(self, items: AsyncIterator[IndexItem], summary: IndexSummary) -> None:
        first = await anext(items, None)
        if first is None:
            raise InvalidArgumentError("repository", "is required, in a first message")
        repository = accept_repository(first.repository)
        stream = _Stream(first, items)
        with self._room.place():  # not before the first message: who says nothing keeps nobody out
            await self._index(repository, stream, summary)

    async def _index(self, repository: str, stream: "_Stream", summary: IndexSummary) -> None:
        async with self._code.indexing(repository) as indexing:
            read = read_batches(stream.files(), indexing, Settle(self._cutter, repository, self._most_bytes))
            async with aclosing(ahead(embed_batches(ahead(read), indexing, self._embed))) as batches:
                async for batch in batches:
                    await self._write(batch, indexing, summary)
            if stream.commit is not None:
                await commit_code(repository, indexing, self._graph, summary, keep_others=stream.commit.keep_others)

    async def _write(self, batch: Batch, indexing: Indexing, summary: IndexSummary) -> None:
        refused = await _stored(batch, indexing) if batch.files else {}
        chunks = sum(len(file.chunks) for file in batch.files if file.path not in refused)
        summary.chunks += chunks
        summary.embedded += batch.embedded
        summary.add(
            FileFate(fate.path, refused[fate.path]) if fate.cut_method is not None and fate.path in refused else fate
            for fate in batch.fates
        )
        self._observer.indexed(len(batch.files) - len(refused), chunks, batch.embedded)


async def _stored(batch: Batch, indexing: Indexing) -> dict[str, TrimemError]:
    """Store the files of a batch; those that cannot be, and why. What the database cannot take is a fault of ours."""
    try:
        await indexing.write(batch.files, batch.spaces)
    except (TrimemError, asyncio.CancelledError):
        raise
    except Exception:
        structlog.get_logger("code").exception("files cannot be stored", files=len(batch.files))
    else:
        return {}
    refused: dict[str, TrimemError] = {}
    for file in batch.files:
        try:
            await indexing.write([file], batch.spaces if any(one.vectors for one in file.chunks) else None)
        except (TrimemError, asyncio.CancelledError):
            raise
        except Exception:
            structlog.get_logger("code").exception("a file cannot be stored", path=file.path)
            refused[file.path] = InternalError("the file cannot be stored: a fault of the store")
    return refused


class _Stream:
    """The messages of a call, checked as a whole."""

    def __init__(self, first: IndexItem, rest: AsyncIterator[IndexItem]) -> None:
        self._first = first
        self._rest = rest
        #: Set when the stream has ended with one.
        self.commit: Commit | None = None

    async def files(self) -> AsyncIterator[FileItem]:
        """The files. Raises InvalidArgumentError for a message that makes no sense where it is."""
        if (said := self._said(self._first)) is not None:
            yield said
        async for item in self._rest:
            if (said := self._said(item)) is not None:
                yield said

    def _said(self, item: IndexItem) -> FileItem | None:
        if item.repository not in ("", self._first.repository):
            raise InvalidArgumentError("repository", "must be that of the first message, or empty")
        if self.commit is not None:
            raise InvalidArgumentError("commit", "must be the last message")
        if item.said is None:
            raise InvalidArgumentError("item", "must be file, unchanged or commit")
        if isinstance(item.said, Commit):
            self.commit = item.said
            return None
        return item.said
