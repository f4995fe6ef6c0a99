"""What the tests of searches over gRPC share."""

from typing import Any

from google.protobuf.json_format import ParseDict

from tests.fixtures_store import StoreUnderTest
from trimem.store.v1 import event_service_pb2 as pb


async def search(store: StoreUnderTest, **fields: Any) -> pb.SearchEventsResponse:
    """SearchEvents; keywords as in its JSON."""
    return await store.stub.SearchEvents(ParseDict(fields, pb.SearchEventsRequest()))


def texts(answer: pb.SearchEventsResponse) -> list[str]:
    """Of the hits, best first."""
    return [str(hit.event.content["text"]) for hit in answer.hits]
