"""Turns exceptions into statuses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import structlog

from servicekit import context
from servicekit.errors import InternalError, TrimemError
from servicekit.interceptors.around import AroundInterceptor, Call
from servicekit.status import DETAILS_KEY, code_of, to_status


class ErrorsInterceptor(AroundInterceptor):
    """Our own errors get their code and details; anything else is INTERNAL with a constant message."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("errors")

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        try:
            yield
        except grpc.aio.AbortError:  # subclasses Exception; somebody has already answered
            raise
        except TrimemError as error:
            await self._abort(call, error)
        except Exception:
            self._log.exception("unexpected", method=call.method)
            await self._abort(call, InternalError())

    async def _abort(self, call: Call, error: TrimemError) -> None:
        identity = context.request_id.get()
        await call.context.abort(
            code_of(error),
            error.message,
            (
                (context.REQUEST_ID_KEY, identity),
                (DETAILS_KEY, to_status(error, identity).SerializeToString()),
            ),
        )
