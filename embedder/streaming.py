"""Use case: embed inputs as they come, answering in their order."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import structlog

from embedder.embedding import EmbedCommand, Embedding, EmbedResult
from servicekit.errors import InternalError, InvalidArgumentError, TrimemError

#: Inputs of one stream that are worked on at once: enough to fill batches, not enough to fill the queue.
WINDOW = 128


@dataclass(frozen=True, slots=True)
class StreamInput:
    """One input of a stream."""

    id: str
    #: What to do, or why it cannot be done.
    command: EmbedCommand | TrimemError


@dataclass(frozen=True, slots=True)
class StreamOutput:
    """What became of it."""

    id: str
    result: EmbedResult | TrimemError


class EmbeddingStream:
    """Embeds the inputs of a stream, each for itself, reading ahead of its answers by a bounded number of inputs."""

    def __init__(self, embedding: Embedding, window: int = WINDOW) -> None:
        self._embedding = embedding
        self._window = window

    async def run(self, inputs: AsyncIterator[StreamInput]) -> AsyncGenerator[StreamOutput, None]:
        """One output for each input, in the order of inputs. Not more than a window of inputs is read ahead.

        A full queue is waited for. To be closed by its user (`aclosing`): what is in flight is cancelled then.
        """
        room = asyncio.Semaphore(self._window)
        working: asyncio.Queue[asyncio.Task[StreamOutput] | None] = asyncio.Queue()
        reading = asyncio.create_task(self._read(inputs, room, working))
        try:
            while (task := await working.get()) is not None:
                yield await task
                room.release()
            await reading  # what broke the inputs breaks the stream
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await reading
            while not working.empty():
                if (left := working.get_nowait()) is not None:
                    left.cancel()

    async def _read(
        self,
        inputs: AsyncIterator[StreamInput],
        room: asyncio.Semaphore,
        working: "asyncio.Queue[asyncio.Task[StreamOutput] | None]",
    ) -> None:
        try:
            async for item in inputs:
                await room.acquire()
                working.put_nowait(asyncio.create_task(self._embed(item)))
        finally:
            working.put_nowait(None)

    async def _embed(self, item: StreamInput) -> StreamOutput:
        if isinstance(item.command, TrimemError):
            return StreamOutput(item.id, item.command)
        try:
            return StreamOutput(item.id, await self._embedding.embed(item.command, wait_for_room=True))
        except InvalidArgumentError as error:
            # What is `inputs[0]` for Embed is `input` here.
            field, description = error.violations[0].field, error.violations[0].description
            return StreamOutput(item.id, InvalidArgumentError(field.replace("inputs[0]", "input"), description))
        except TrimemError as error:
            return StreamOutput(item.id, error)
        except Exception:
            structlog.get_logger("embedder").exception("input of a stream failed")
            return StreamOutput(item.id, InternalError())
