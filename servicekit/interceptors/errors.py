"""Turns exceptions into statuses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import structlog

from servicekit import context
from servicekit.errors import InternalError, TrimemError, UnimplementedError
from servicekit.interceptors.around import AroundInterceptor, Call
from servicekit.status import DETAILS_KEY, code_of, to_status


class ErrorsInterceptor(AroundInterceptor):
    """Our own errors get their code and details; anything else is INTERNAL with a constant message."""

    def __init__(self) -> None:
        super().__init__()
        self._log = structlog.get_logger("errors")

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        try:
            yield
        except grpc.aio.AbortError:  # subclasses Exception; somebody has already answered
            raise
        except grpc.aio.InternalError:  # what a write raises when the caller has gone: nobody waits for an answer
            raise asyncio.CancelledError from None
        except TrimemError as error:
            await self._abort(call, error)
        except Exception as error:
            if isinstance(error, NotImplementedError) and _is_unimplemented(call):
                await self._abort(call, UnimplementedError("this version does not have this method"))
            self._log.exception("unexpected", method=call.method)
            await self._abort(call, InternalError())

    async def _abort(self, call: Call, error: TrimemError) -> None:
        status = to_status(error, context.request_id.get())
        # `abort` replaces the trailing metadata: what is there already, the request id for one, goes along.
        trailing = tuple(call.context.trailing_metadata() or ())
        await call.context.abort(code_of(error), status.message, (*trailing, (DETAILS_KEY, status.SerializeToString())))


def _is_unimplemented(call: Call) -> bool:
    """Whether the handler set this code, as generated base classes do before they raise NotImplementedError."""
    code: object = call.context.code()
    return code is grpc.StatusCode.UNIMPLEMENTED
