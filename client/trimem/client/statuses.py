"""gRPC statuses as exceptions."""

from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from trimem.client.errors import BY_CODE, FieldViolation, TrimemError

_DETAILS_KEY = "grpc-status-details-bin"
_REQUEST_ID_KEY = "x-request-id"

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def error_of_call(error: Any, request_id: str = "") -> TrimemError:
    """The exception of a failed call, sync or async; `request_id` is the one that the call went out with."""
    status = status_pb2.Status(code=error.code().value[0], message=error.details() or "")
    for key, value in error.trailing_metadata() or ():
        if key == _REQUEST_ID_KEY:
            request_id = str(value)
        elif key == _DETAILS_KEY:
            try:
                status = status_pb2.Status.FromString(value)
            except DecodeError:  # something between us and the server put other bytes there
                continue
    return error_of_status(status, request_id)


def error_of_status(status: status_pb2.Status, request_id: str = "") -> TrimemError:
    """The exception of a status, that of a call or of one of many results."""
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry, request = error_details_pb2.RetryInfo(), error_details_pb2.RequestInfo()
    retry_after: float | None = None
    for detail in status.details:
        try:
            if detail.Unpack(retry):
                retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
            elif detail.Unpack(request):
                request_id = request.request_id or request_id
            elif not detail.Unpack(info):
                detail.Unpack(bad_request)
        except DecodeError:  # an error is shown even when its details are broken
            continue
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return BY_CODE.get(code, TrimemError)(
        status.message or code.name,
        code=code,
        reason=info.reason,
        violations=[FieldViolation(one.field, one.description) for one in bad_request.field_violations],
        request_id=request_id,
        retry_after=retry_after,
        metadata=info.metadata,
    )
