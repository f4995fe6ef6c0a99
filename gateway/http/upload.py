"""Calls whose requests come from a client as they are made."""

import asyncio
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any

import grpc


class Upload:
    """A call that is written to in the background while the block, which gets it, waits for its answers.

    Neither side waits for the other in vain: a call that fails stops the reading of requests, and a request that cannot
    be read ends the call, and is what the block raises then. Messages are written no faster than the backend takes
    them.
    """

    def __init__(self, call: Any, messages: AsyncGenerator[bytes, None]) -> None:
        self._call = call
        self._writing = asyncio.create_task(self._write(messages))

    async def __aenter__(self) -> Any:
        return self._call

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        self._call.cancel()  # without effect when it is over
        self._writing.cancel()
        [outcome] = await asyncio.gather(self._writing, return_exceptions=True)
        # What broke the writing off cancelled the call, and so the block.
        # Where that was the client, who has gone, being cancelled says it all.
        if kind is asyncio.CancelledError and isinstance(outcome, Exception) and not isinstance(outcome, OSError):
            raise outcome from None

    async def _write(self, messages: AsyncGenerator[bytes, None]) -> None:
        try:
            async for message in messages:
                await self._call.write(message)
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the call is over, and says to those who wait for its answer why
        except BaseException:
            self._call.cancel()
            raise
        finally:
            await messages.aclose()
