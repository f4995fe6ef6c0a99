"""Storing a stream of events of any length."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from servicekit import tasks
from servicekit.errors import InvalidArgumentError, TrimemError
from store.events import EmbeddingState, EventDraft
from store.use_cases.create_events import MOST_EVENTS, Batch, CreateEvents, Result

#: Bytes of events, as messages, of one batch. A few batches at a time are in memory, each several times over.
BATCH_BYTES = 4 * 1024 * 1024

#: Events that were not stored and are named in the answer.
MOST_ERRORS = 100


@dataclass(frozen=True, slots=True)
class ImportItem:
    """One event of a stream."""

    #: The error when it could not be read.
    draft: EventDraft | InvalidArgumentError
    size: int


@dataclass(slots=True)
class ImportSummary:
    """What became of the events from the start of a stream."""

    settled: int = 0
    stored: int = 0
    repeated: int = 0
    failed: int = 0
    #: Of those that are stored.
    pending: int = 0
    #: Place in the stream, and why it was not stored; the first ones.
    errors: list[tuple[int, TrimemError]] = field(default_factory=list)

    def add(self, results: Sequence[Result]) -> None:
        """Count the next events of the stream."""
        for result in results:
            if isinstance(result, TrimemError):
                self.failed += 1
                if len(self.errors) < MOST_ERRORS:
                    self.errors.append((self.settled, result))
            elif result.is_repeated:
                self.repeated += 1
            else:
                self.stored += 1
                self.pending += result.event.embedding_state is EmbeddingState.PENDING
            self.settled += 1


class ImportEvents:
    """Stores events batch by batch, in order. While one batch is written the next one is read and embedded."""

    def __init__(self, create: CreateEvents) -> None:
        self._create = create

    async def run(self, items: AsyncIterator[ImportItem]) -> ImportSummary:
        """Store all events of a stream. Raises what CreateEvents.batch raises, and what the stream does.

        The error says in `metadata` how many events from the start of the stream are settled.
        """
        writer = _Writer(self._create)
        try:
            async with aclosing(_batches(items)) as batches:
                async for drafts in batches:
                    await writer.write(await self._create.prepare(drafts, is_counted=True))
            await writer.settle()
        except TrimemError as error:
            with suppress(TrimemError):  # one of two is enough to know
                await writer.settle()
            error.metadata["settled_count"] = str(writer.summary.settled)
            raise
        finally:
            await writer.cancel()
        return writer.summary


class _Writer:
    """Writes one batch at a time, beside what its caller does."""

    def __init__(self, create: CreateEvents) -> None:
        self._create = create
        self._writing: asyncio.Task[list[Result]] | None = None
        self.summary = ImportSummary()

    async def write(self, batch: Batch) -> None:
        """Begin to write a batch when the one before it is written. Raises what went wrong with that one."""
        await self.settle()
        self._writing = asyncio.create_task(self._create.finish(batch))

    async def settle(self) -> None:
        """Wait for what is being written, and count it. Raises what goes wrong with it."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            self.summary.add(await writing)

    async def cancel(self) -> None:
        """Leave off."""
        if self._writing is not None:
            await tasks.cancel(self._writing)


async def _batches(items: AsyncIterator[ImportItem]) -> AsyncGenerator[list[EventDraft | InvalidArgumentError], None]:
    drafts: list[EventDraft | InvalidArgumentError] = []
    size = 0
    async for item in items:
        drafts.append(item.draft)
        size += item.size
        if len(drafts) == MOST_EVENTS or size >= BATCH_BYTES:
            yield drafts
            drafts, size = [], 0
    if drafts:
        yield drafts
