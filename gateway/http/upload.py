"""Calls whose requests come from a client as they are made."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import grpc


class Upload:
    """A call that is being written to in the background, while its answer is waited for.

    Neither side waits for the other in vain: a call that fails stops the reading of requests, and a request that cannot
    be read ends the call. Messages are written no faster than the backend takes them.
    """

    def __init__(self, call: Any, messages: AsyncGenerator[bytes, None]) -> None:
        self._call = call
        self._writing = asyncio.create_task(self._write(messages))

    async def answer(self) -> bytes:
        """The answer of a call that has one. Raises AioRpcError, or what was wrong with a request."""
        try:
            answer: bytes = await self._call
        except asyncio.CancelledError:
            self._raise_broken()
            raise
        finally:
            await self._stop()
        return answer

    async def answers(self) -> AsyncGenerator[bytes, None]:
        """The answers of a call that has many. Raises as `answer` does, after those that came before."""
        try:
            async for answer in self._call:
                yield answer
        except asyncio.CancelledError:
            self._raise_broken()
            raise
        finally:
            await self._stop()

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

    def _raise_broken(self) -> None:
        """Raise what broke the writing off: it cancelled the call, and not the client."""
        if self._writing.done() and not self._writing.cancelled() and (error := self._writing.exception()):
            raise error from None

    async def _stop(self) -> None:
        self._call.cancel()  # without effect when it is over
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)
