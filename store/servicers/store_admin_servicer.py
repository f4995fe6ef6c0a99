"""StoreAdminService: messages in, use case, messages out."""

from typing import Any

from google.protobuf.json_format import ParseDict

from store.status_report import status_document
from store.use_cases.administer import Administer
from trimem.store.v1 import store_admin_pb2 as pb
from trimem.store.v1 import store_admin_pb2_grpc as rpc


class StoreAdminServicer(rpc.StoreAdminServiceServicer):
    """The gRPC face for operators."""

    def __init__(self, administer: Administer) -> None:
        self._administer = administer

    async def GetStatus(self, _request: pb.GetStatusRequest, _context: Any) -> pb.GetStatusResponse:
        """See store_admin.proto."""
        return ParseDict(status_document(await self._administer.status()), pb.GetStatusResponse())

    async def PauseBackfill(self, _request: pb.PauseBackfillRequest, _context: Any) -> pb.PauseBackfillResponse:
        """See store_admin.proto."""
        await self._administer.pause()
        return pb.PauseBackfillResponse()

    async def ResumeBackfill(self, _request: pb.ResumeBackfillRequest, _context: Any) -> pb.ResumeBackfillResponse:
        """See store_admin.proto."""
        await self._administer.resume()
        return pb.ResumeBackfillResponse()

    async def RetryFailedEvents(
        self, request: pb.RetryFailedEventsRequest, _context: Any
    ) -> pb.RetryFailedEventsResponse:
        """See store_admin.proto."""
        return pb.RetryFailedEventsResponse(retried_count=await self._administer.retry(request.ids))
