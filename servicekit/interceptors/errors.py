"""Turns exceptions into statuses."""

from __future__ import annotations

import asyncio
from typing import Any, Never

import grpc
import structlog

from servicekit import context
from servicekit.errors import InternalError, TrimemError, UnimplementedError
from servicekit.interceptors.layers import Context, Handler, Layer, behaviour, rebuild
from servicekit.status import DETAILS_KEY, code_of, to_status


class ErrorsLayer(Layer):
    """Our own errors get their code and details; anything else is INTERNAL with a constant message."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("errors")

    def wrap(self, handler: Handler, method: str) -> Handler:
        inner = behaviour(handler)

        async def run(request: Any, call: Context) -> Any:
            try:
                return await inner(request, call)
            except grpc.aio.AbortError:  # subclasses Exception; somebody has already answered
                raise
            except grpc.aio.InternalError:  # what a write raises when the caller has gone: nobody waits for an answer
                raise asyncio.CancelledError from None
            except TrimemError as error:
                await _abort(call, error)
            except Exception as error:
                # From a generated base class it says that there is no such method yet; from elsewhere it is a fault.
                if isinstance(error, NotImplementedError) and _is_unimplemented(call):
                    await _abort(call, UnimplementedError("this version does not have this method"))
                self._log.exception("unexpected", method=method)
                await _abort(call, InternalError())

        return rebuild(handler, run)


async def _abort(call: Context, error: TrimemError) -> Never:
    status = to_status(error, context.request_id.get())
    # `abort` replaces the trailing metadata: what is there already, the request id for one, goes along.
    trailing = tuple(call.trailing_metadata() or ())
    await call.abort(code_of(error), status.message, (*trailing, (DETAILS_KEY, status.SerializeToString())))


def _is_unimplemented(call: Context) -> bool:
    """Whether the handler set this code, as generated base classes do before they raise NotImplementedError."""
    code: object = call.code()
    return code is grpc.StatusCode.UNIMPLEMENTED
