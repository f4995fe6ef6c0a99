"""SearchEvents over gRPC, on PostgreSQL: pages, and what an answer says about what was not looked at."""

from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from store.repositories.postgres import lexical_search
from tests.fixtures_search import search, texts
from tests.fixtures_store import DIMENSION, StoreUnderTest
from trimem.store.v1 import event_service_pb2 as pb


@pytest.mark.parametrize("mode", ["HYBRID", "VECTOR", "LEXICAL"])
async def test_pages_do_not_move_while_others_write_and_delete(store: StoreUnderTest, mode: str) -> None:
    for number in range(12):
        await store.create(content={"text": "apple " * (number + 1) + "pie"}, metadata={"n": number})
    wanted = {"query": "apple", "mode": f"SEARCH_MODE_{mode}", "page_size": 4}
    whole = await search(store, **(wanted | {"page_size": 12}))
    order = [hit.event.id for hit in whole.hits]

    first = await search(store, **wanted)
    await store.create(content={"text": "apple apple apple"})
    await store.stub.DeleteEvent(pb.DeleteEventRequest(id=order[5]))
    second = await search(store, **wanted, page_token=first.next_page_token)
    third = await search(store, **wanted, page_token=second.next_page_token)

    assert [hit.event.id for hit in first.hits] == order[:4]
    assert [hit.event.id for hit in second.hits] == [order[4], *order[6:9]]
    assert [hit.event.id for hit in third.hits] == order[9:]
    assert not third.next_page_token
    assert not whole.next_page_token
    scores = [hit.score for answer in (first, second, third) for hit in answer.hits]
    assert scores == sorted(scores, reverse=True)


async def test_a_hit_that_left_the_filter_is_not_shown_on_a_later_page(store: StoreUnderTest) -> None:
    events = [await store.create(content={"text": "apple"}, metadata={"shown": True}) for _ in range(3)]
    wanted = {"query": "apple", "metadata_filter": {"shown": True}, "page_size": 1}
    first = await search(store, **wanted)
    for event in events:
        if event.id != first.hits[0].event.id:
            event.metadata.update({"shown": False})
            await store.stub.UpdateEvent(pb.UpdateEventRequest(event=event))

    second = await search(store, **wanted, page_token=first.next_page_token)

    assert list(second.hits) == []
    assert second.next_page_token == ""


#: What makes another search of one for apples.
CHANGES: list[dict[str, Any]] = [
    {"query": "apples"},
    {"mode": "SEARCH_MODE_VECTOR"},
    {"metadata_filter": {"a": 1}},
    {"start_time": "2020-01-01T00:00:00Z"},
    {"end_time": "2100-01-01T00:00:00Z"},
    {"min_similarity": -1},
    {"recency_half_life": "1s"},
    {"vector": {"values": [1.0] * DIMENSION}},
]


async def test_a_page_token_belongs_to_its_search(store: StoreUnderTest) -> None:
    for _ in range(2):
        await store.create(content={"text": "apple"})
    token = (await search(store, query="apple", page_size=1)).next_page_token

    assert len((await search(store, query="apple", page_size=5, page_token=token)).hits) == 1
    for changed in CHANGES:
        with pytest.raises(grpc.aio.AioRpcError, match="belongs to another search"):
            await search(store, **({"query": "apple", "page_token": token} | changed))


async def test_a_search_finds_at_most_two_hundred(store: StoreUnderTest) -> None:
    requests = [{"event": {"content": {"text": f"apple {number}"}}} for number in range(230)]
    await store.stub.BatchCreateEvents(ParseDict({"requests": requests}, pb.BatchCreateEventsRequest()))

    for mode in ("HYBRID", "VECTOR", "LEXICAL"):
        found: list[str] = []
        token = ""
        while True:
            answer = await search(store, query="apple", mode=f"SEARCH_MODE_{mode}", page_size=100, page_token=token)
            assert answer.complete
            found += [hit.event.id for hit in answer.hits]
            token = answer.next_page_token
            if not token:
                break
        assert len(found) == len(set(found)) == 200


@pytest.mark.parametrize(("size", "most"), [(5, 50), (20, 100)])
async def test_a_search_by_vector_finds_five_pages_or_fifty(store: StoreUnderTest, size: int, most: int) -> None:
    requests = [{"event": {"content": {"text": f"apple {number}"}}} for number in range(120)]
    await store.stub.BatchCreateEvents(ParseDict({"requests": requests}, pb.BatchCreateEventsRequest()))

    found: set[str] = set()
    answer = await search(store, query="apple", mode="SEARCH_MODE_VECTOR", page_size=size)
    while answer.next_page_token:
        found |= {hit.event.id for hit in answer.hits}
        token = answer.next_page_token
        answer = await search(store, query="apple", mode="SEARCH_MODE_VECTOR", page_size=size, page_token=token)
    found |= {hit.event.id for hit in answer.hits}

    assert len(found) == most


async def test_an_answer_says_when_the_scan_was_cut(store: StoreUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(6):
        await store.create(content={"text": "common"})
    await store.create(content={"text": "common rare"})
    monkeypatch.setattr(lexical_search, "MOST_EVENTS", 5)

    cut = await search(store, query="common", mode="SEARCH_MODE_LEXICAL")
    left_out = await search(store, query="common rare", mode="SEARCH_MODE_LEXICAL")
    best = await search(store, query="common rare", mode="SEARCH_MODE_LEXICAL", page_size=1)
    rare = await search(store, query="rare", mode="SEARCH_MODE_LEXICAL")

    assert len(cut.hits) == 5
    assert not cut.complete
    assert texts(left_out) == ["common rare"]
    assert not left_out.complete
    assert best.complete
    assert rare.complete
