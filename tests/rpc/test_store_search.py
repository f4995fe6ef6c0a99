"""SearchEvents over gRPC, on PostgreSQL: modes, filters, recency, and an embedder that is down."""

import asyncio

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from servicekit.errors import ResourceExhaustedError, TrimemError, UnavailableError
from servicekit.status import reason_of
from tests.fixtures_reembed import store_texts
from tests.fixtures_search import search, texts
from tests.fixtures_store import DIMENSION, OTHER_SPACE, StoreUnderTest, text_vector
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2 as pb


async def test_search_finds_the_nearest_event_first(store: StoreUnderTest) -> None:
    for text in ("red apple pie", "green apple", "blue ocean wave"):
        await store.create(content={"text": text})
    store.embedder.kinds.clear()

    answer = await store.stub.SearchEvents(
        pb.SearchEventsRequest(query="red apple pie", mode=pb.SEARCH_MODE_VECTOR, page_size=2)
    )

    assert [hit.event.content["text"] for hit in answer.hits] == ["red apple pie", "green apple"]
    best, second = answer.hits
    assert best.similarity == pytest.approx(1, abs=1e-5)
    assert second.score == pytest.approx((second.similarity + 1) / 2)
    assert 0 <= second.score < best.score <= 1
    assert answer.mode == pb.SEARCH_MODE_VECTOR
    assert store.embedder.kinds == [embedding_pb2.INPUT_KIND_QUERY]


async def test_search_takes_a_vector_of_any_length_but_zero(store: StoreUnderTest) -> None:
    await store.create(content={"text": "red apple"})
    store.embedder.calls.clear()

    for scale in (1.0, 1e30, 1e-30):
        vector = embedding_pb2.Vector(values=(text_vector("red apple") * scale).tolist())
        [hit] = (await store.stub.SearchEvents(pb.SearchEventsRequest(vector=vector))).hits
        assert hit.similarity == pytest.approx(1, abs=1e-5)
    assert store.embedder.calls == []


async def test_search_is_filtered_by_metadata_time_and_similarity(store: StoreUnderTest) -> None:
    for day in (1, 2, 3):
        await store.create(
            timestamp=f"2026-01-0{day}T00:00:00Z", content={"text": f"apple {day}"}, metadata={"odd": bool(day % 2)}
        )

    async def days(**fields: object) -> set[str]:
        request = ParseDict({"query": "apple 3", **fields}, pb.SearchEventsRequest())
        return {str(hit.event.content["text"]) for hit in (await store.stub.SearchEvents(request)).hits}

    assert await days(metadata_filter={"odd": True}) == {"apple 1", "apple 3"}
    assert await days(start_time="2026-01-02T00:00:00Z") == {"apple 2", "apple 3"}
    assert await days(end_time="2026-01-02T00:00:00Z") == {"apple 1"}
    assert await days(min_similarity=1) == {"apple 3"}
    assert len(await days(min_similarity=-1)) == 3


async def test_a_search_of_an_empty_store_finds_nothing(store: StoreUnderTest) -> None:
    assert not (await store.stub.SearchEvents(pb.SearchEventsRequest(query="anything"))).hits


async def test_a_search_by_text_needs_the_embedder_and_one_by_vector_does_not(store: StoreUnderTest) -> None:
    await store.create(content={"text": "red apple"})
    store.embedder.trouble = UnavailableError("down")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await store.stub.SearchEvents(pb.SearchEventsRequest(query="red apple", mode=pb.SEARCH_MODE_VECTOR))
    vector = embedding_pb2.Vector(values=[1.0] * DIMENSION)
    answer = await store.stub.SearchEvents(pb.SearchEventsRequest(vector=vector))

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason_of(caught.value) == "EMBEDDER_UNAVAILABLE"
    assert len(answer.hits) == 1


async def test_words_find_an_event_in_another_form(store: StoreUnderTest) -> None:
    for text in ("Ada's cats were sleeping", "a dog barked", "the cat"):
        await store.create(content={"text": text})
    store.embedder.calls.clear()

    answer = await search(store, query="CAT sleeps", mode="SEARCH_MODE_LEXICAL")

    assert texts(answer) == ["Ada's cats were sleeping", "the cat"]
    assert answer.mode == pb.SEARCH_MODE_LEXICAL
    assert answer.complete
    assert not answer.degraded
    assert 0 < answer.hits[1].score < answer.hits[0].score <= 1
    assert answer.hits[0].lexical_score > answer.hits[1].lexical_score > 0
    assert answer.hits[0].similarity == 0
    assert store.embedder.calls == []


async def test_the_default_compares_meaning_and_words(store: StoreUnderTest) -> None:
    for text in ("red apple pie", "blue ocean", "green apple"):
        await store.create(content={"text": text})

    answer = await search(store, query="apples")

    assert answer.mode == pb.SEARCH_MODE_HYBRID
    assert texts(answer)[-1] == "blue ocean"
    assert [hit.lexical_score > 0 for hit in answer.hits] == [True, True, False]
    assert all(0 <= hit.score <= 1 for hit in answer.hits)
    assert all(hit.similarity != 0 for hit in answer.hits)


async def test_a_given_vector_is_the_meaning_of_a_query(store: StoreUnderTest) -> None:
    await store.create(content={"text": "red apple"})
    await store.create(content={"text": "blue ocean"})
    store.embedder.calls.clear()
    vector = {"values": text_vector("blue ocean").tolist()}

    hybrid = await search(store, query="apple", vector=vector)
    by_vector = await search(store, query="apple", vector=vector, mode="SEARCH_MODE_VECTOR")
    alone = await search(store, vector=vector)

    assert hybrid.mode == pb.SEARCH_MODE_HYBRID
    by_text = {str(hit.event.content["text"]): hit for hit in hybrid.hits}
    assert by_text["blue ocean"].similarity == pytest.approx(1, abs=1e-5)
    assert by_text["red apple"].lexical_score > 0
    assert by_vector.mode == alone.mode == pb.SEARCH_MODE_VECTOR
    assert texts(by_vector) == texts(alone) == ["blue ocean", "red apple"]
    assert store.embedder.calls == []


@pytest.mark.parametrize("trouble", [UnavailableError("down"), ResourceExhaustedError("busy", retry_after=1)])
async def test_without_the_embedder_words_answer_and_say_so(store: StoreUnderTest, trouble: TrimemError) -> None:
    await store.create(content={"text": "red apple"})
    store.embedder.trouble = trouble
    await store.create(content={"text": "green apple"})

    answer = await search(store, query="apple")

    assert set(texts(answer)) == {"red apple", "green apple"}
    assert answer.mode == pb.SEARCH_MODE_LEXICAL
    assert answer.degraded


async def test_without_the_embedder_nobody_knows_what_is_similar_enough(store: StoreUnderTest) -> None:
    await store.create(content={"text": "red apple"})
    store.embedder.go_down()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await search(store, query="apple", min_similarity=0.5)

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_another_model_is_refused_and_not_taken_for_an_embedder_that_is_down(store: StoreUnderTest) -> None:
    await store.create(content={"text": "red apple"})
    store.embedder.space = OTHER_SPACE

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await search(store, query="apple")

    assert reason_of(caught.value) == "EMBEDDING_SPACE_MISMATCH"
    assert texts(await search(store, query="apple", mode="SEARCH_MODE_LEXICAL")) == ["red apple"]


async def test_an_event_that_waits_for_its_vector_keeps_a_place(store: StoreUnderTest) -> None:
    for number in range(30):
        await store.create(content={"text": f"a note about fruit {number}"})
    store.embedder.go_down()
    await store.create(content={"text": "a note about quinces"})
    store.embedder.come_back()

    answer = await search(store, query="note about quinces")

    assert texts(answer)[0] == "a note about quinces"
    assert answer.hits[0].similarity == 0
    assert not answer.degraded
    least = await search(store, query="note about quinces", min_similarity=-1, page_size=100)
    assert "a note about quinces" not in texts(least)


async def test_an_event_found_by_words_alone_keeps_a_place_and_is_compared_by_meaning(store: StoreUnderTest) -> None:
    # More than a search takes by vector, and all of them nearer.
    nearer, far = [f"red apple {number}" for number in range(230)], "sweet quinces"
    vector = text_vector("red apple 7")
    similarity = float(vector @ text_vector(far))
    assert 0.1 < similarity < min(float(vector @ text_vector(text)) for text in nearer)
    await store_texts(store, [*nearer, far])

    answer = await search(store, query="quinces", vector={"values": vector.tolist()}, mode="SEARCH_MODE_HYBRID")

    [hit] = [hit for hit in answer.hits if hit.lexical_score > 0]
    assert hit.event.content["text"] == far
    assert hit.similarity == pytest.approx(similarity, abs=1e-5)


async def test_newer_events_come_first_when_age_counts(store: StoreUnderTest) -> None:
    for day in (1, 9, 5):
        await store.create(timestamp=f"2026-01-0{day}T00:00:00Z", content={"text": "the same"}, metadata={"day": day})

    for mode in ("HYBRID", "VECTOR", "LEXICAL"):
        answer = await search(store, query="the same", mode=f"SEARCH_MODE_{mode}", recency_half_life="3456000s")
        assert [hit.event.metadata["day"] for hit in answer.hits] == [9, 5, 1]
        assert answer.hits[1].score == pytest.approx(answer.hits[0].score * 0.5**0.1)
        assert answer.complete


#: Texts that are hard on somebody.
TEXTS = [
    "'; DROP TABLE events; -- \"",
    "שלום עולם",
    "𐍈𐍉 🚀",
    "東京都に行く",
    "%s $1 {} \\x00 \\u0000",
    "\u202e right to left",
    " ".join(f"word{number}" for number in range(1500)),
]


async def test_any_text_finds_itself(store: StoreUnderTest) -> None:
    await store.create(content={"text": "something else"})
    for text in TEXTS:
        await store.create(content={"text": text})

    for text in TEXTS:
        for mode in ("HYBRID", "LEXICAL"):
            assert texts(await search(store, query=text, mode=f"SEARCH_MODE_{mode}"))[0] == text


async def test_a_query_without_words_is_one_of_meaning_alone(store: StoreUnderTest) -> None:
    await store.create(content={"text": "red apple"})

    assert len((await search(store, query="?!")).hits) == 1
    lexical = await search(store, query="?!", mode="SEARCH_MODE_LEXICAL")
    assert not lexical.hits
    assert lexical.complete


async def test_a_document_of_a_megabyte_is_found_by_its_words(store: StoreUnderTest) -> None:
    await store.create(content={"text": " ".join(f"w{number}" for number in range(120_000))})

    assert len((await search(store, query="w77", mode="SEARCH_MODE_LEXICAL")).hits) == 1


async def test_searches_and_writes_at_once_do_not_fail(store: StoreUnderTest) -> None:
    async def write(number: int) -> None:
        event = await store.create(content={"text": f"apple number {number}"})
        if number % 2:
            await store.stub.DeleteEvent(pb.DeleteEventRequest(id=event.id))

    async def read() -> None:
        answer = await search(store, query="apple number", page_size=100)
        assert all(hit.lexical_score >= 0 for hit in answer.hits)

    await asyncio.gather(*(write(number) for number in range(20)), *(read() for _ in range(20)))

    assert len((await search(store, query="apple", page_size=100)).hits) == 10
