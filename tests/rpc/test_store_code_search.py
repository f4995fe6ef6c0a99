"""SearchCode over gRPC, on PostgreSQL: questions, names, pieces of code, and what may be sent as a query."""

from dataclasses import replace
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.json_format import ParseDict

from servicekit.status import reason_of
from tests.fixtures_code import COMMIT, REPOSITORY, embedded, function, index, module
from tests.fixtures_store import OTHER_SPACE, StartStore, StoreUnderTest
from trimem.store.v1 import code_service_pb2 as pb

UPLOADS = '''"""Uploads of files."""

import time

ATTEMPTS = 5


class Uploader:
    """Sends files to the archive, and does not give up at once."""

    def __init__(self, archive, folder="."):
        """Remember the archive."""
        self.archive = archive
        self.folder = folder

    def retryFailedUpload(self, name):
        """Send a file that could not be sent before."""
        for attempt in range(ATTEMPTS):
            time.sleep(attempt)
            if self.archive.put(name):
                return attempt
        raise OSError(name)
'''

SERVER = """export class HTTPServer {
  // Splits a line of a request into its name and its value, and complains about a line without a colon.
  parseHTTPHeader(line: string): [string, string] {
    const colon = line.indexOf(":");
    if (colon < 0) { throw new Error("there is no colon in " + line); }
    return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()];
  }
}
"""


@pytest_asyncio.fixture
async def store(start_store: StartStore) -> StoreUnderTest:
    """A store with some code."""
    started = await start_store()
    files = {"src/uploads.py": UPLOADS, "web/server.ts": SERVER, "src/jobs.py": module("alpha", "beta", "gamma")}
    await index(started, files, COMMIT)
    embedded(started)
    return started


async def search(store: StoreUnderTest, query: str, **fields: Any) -> pb.SearchCodeResponse:
    """Fields as in the JSON of a SearchCodeRequest."""
    return await store.code.SearchCode(ParseDict({"query": query, **fields}, pb.SearchCodeRequest()))


async def first(store: StoreUnderTest, query: str, **fields: Any) -> pb.CodeHit:
    """The best hit."""
    return (await search(store, query, **fields)).hits[0]


@pytest.mark.parametrize("mode", ["CODE_SEARCH_MODE_FUSED", "CODE_SEARCH_MODE_NAMES"])
async def test_a_definition_is_found_by_what_it_is_called_however_that_is_written(
    store: StoreUnderTest, mode: str
) -> None:
    for query, symbol in (
        ("retryFailedUpload", "Uploader.retryFailedUpload"),
        ("retry failed upload", "Uploader.retryFailedUpload"),
        ("retry_failed_upload()", "Uploader.retryFailedUpload"),
        ("Uploader.retryFailedUpload", "Uploader.retryFailedUpload"),
        ("uploads.Uploader", "Uploader"),
        ("parse http header", "HTTPServer.parseHTTPHeader"),
        ("def beta(value):", "beta"),
        ("gamma", "gamma"),
    ):
        assert symbol in (await first(store, query, mode=mode)).chunk.symbols, query


async def test_a_question_and_a_piece_of_code_find_what_they_are_about(store: StoreUnderTest) -> None:
    asked = await first(store, "where do we send a file again that could not be sent before?")
    assert asked.chunk.path == "src/uploads.py"
    pasted = await first(store, "for attempt in range(ATTEMPTS):\n    time.sleep(attempt)\n    archive.put(name)")
    assert pasted.chunk.path == "src/uploads.py"
    lines = {line: pasted.snippet.lines[line - pasted.snippet.start_line] for line in pasted.snippet.matching_lines}
    assert any("time.sleep(attempt)" in text for text in lines.values())
    source = UPLOADS.split("\n")
    assert all(source[line - 1] == text for line, text in lines.items())


async def test_a_hit_says_how_it_compares_in_each_way(store: StoreUnderTest) -> None:
    fused = await first(store, "beta")
    assert fused.score > 0.5
    assert fused.names_score > 0
    assert 0 < fused.text_similarity <= 1
    assert -1 <= fused.code_similarity <= 1
    by_text = await search(store, "beta", mode="CODE_SEARCH_MODE_TEXT")
    assert by_text.hits[0].score == pytest.approx((by_text.hits[0].text_similarity + 1) / 2)
    assert {hit.code_similarity for hit in by_text.hits} == {0}
    assert (by_text.mode, by_text.complete, by_text.degraded) == (pb.CODE_SEARCH_MODE_TEXT, True, False)
    texts, codes = embedded(store)
    assert (texts, codes) == (["beta", "beta"], ["beta"])


async def test_hits_are_within_the_filters(store: StoreUnderTest) -> None:
    await index(store, {"src/uploads.py": UPLOADS}, COMMIT, repository="acme/other")
    for fields, paths in (
        ({"repository": "acme/other"}, {"src/uploads.py"}),
        ({"path": "web/"}, {"web/server.ts"}),
        ({"path": "**/up*.py"}, {"src/uploads.py"}),
        ({"languages": ["typescript"]}, {"web/server.ts"}),
        ({"kinds": ["CODE_KIND_CLASS"], "languages": ["python"]}, {"src/uploads.py"}),
        ({"path": "src/", "languages": ["typescript"]}, set()),
        ({"languages": ["TS", "rust"]}, {"web/server.ts"}),
        ({"kinds": ["CODE_KIND_METHOD"], "languages": ["py"]}, {"src/uploads.py"}),
        ({"kinds": ["CODE_KIND_MODULE"], "repository": "acme/other"}, {"src/uploads.py"}),
        ({"kinds": ["CODE_KIND_LINES"]}, set()),
    ):
        found = await search(store, "retry a failed upload", **fields)
        assert {hit.chunk.path for hit in found.hits} == paths, fields
        assert found.complete


async def test_a_small_class_is_found_as_any_kind_of_what_is_in_it(store: StoreUnderTest) -> None:
    page = '''class Page:
    """A page."""

    def is_last(self):
        """Says whether none follows."""
        return True
'''
    await index(store, {"page.py": page}, COMMIT, repository="acme/pages")
    for kind in ("CODE_KIND_METHOD", "CODE_KIND_CLASS"):
        for mode in ("FUSED", "CODE", "TEXT", "NAMES"):
            [hit] = (
                await search(store, "is_last", kinds=[kind], mode=f"CODE_SEARCH_MODE_{mode}", repository="acme/pages")
            ).hits
            assert (hit.chunk.kind, list(hit.chunk.symbols)) == (pb.CODE_KIND_CLASS, ["Page", "Page.is_last"])
    assert not (await search(store, "is_last", kinds=["CODE_KIND_FUNCTION"], repository="acme/pages")).hits


async def test_typescript_is_that_with_jsx_too(store: StoreUnderTest) -> None:
    await index(store, {"view.tsx": "export const View = () => <b>retry</b>;\n"}, COMMIT, repository="acme/web")
    for language, paths in (("typescript", {"web/server.ts", "view.tsx"}), ("tsx", {"view.tsx"})):
        found = await search(store, "retry", languages=[language])
        assert {hit.chunk.path for hit in found.hits} == paths


async def test_a_language_that_is_not_known_is_refused_with_those_that_are(store: StoreUnderTest) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await search(store, "retry", languages=["pythn"])
    details = failed.value.details() or ""
    assert details.startswith("languages[0]: is none of ")
    assert {"python", "typescript", "tsx", "cpp", "text"} <= {*details.partition("of ")[2].split(", ")}


async def test_pages_do_not_move_and_belong_to_their_search(store: StoreUnderTest) -> None:
    whole = [hit.chunk.id for hit in (await search(store, "value", page_size=100)).hits]
    assert len(whole) > 4
    page = await search(store, "value", page_size=2)
    seen = [hit.chunk.id for hit in page.hits]
    await index(store, {"src/more.py": module("value", "values")}, COMMIT, repository="acme/more")
    while page.next_page_token:
        page = await search(store, "value", page_size=2, page_token=page.next_page_token)
        seen += [hit.chunk.id for hit in page.hits]
    assert seen == whole
    token = (await search(store, "value", page_size=2)).next_page_token
    for fields in ({"query": "other"}, {"path": "src"}, {"mode": "CODE_SEARCH_MODE_CODE"}, {"page_token": "AAAA"}):
        await refused(store, "page_token", **{"query": "value", "page_token": token, **fields})


async def test_a_page_goes_on_however_often_a_kind_or_a_language_is_said(store: StoreUnderTest) -> None:
    once = {"kinds": ["CODE_KIND_FUNCTION"], "languages": ["python"]}
    token = (await search(store, "value", page_size=1, **once)).next_page_token
    twice = {field: values * 2 for field, values in once.items()}
    assert (await search(store, "value", page_size=1, page_token=token, **twice)).hits


async def test_what_is_gone_or_changed_meanwhile_is_passed_over(store: StoreUnderTest) -> None:
    page = await search(store, "value", page_size=1, path="src/jobs.py")
    await index(store, {"src/uploads.py": UPLOADS}, COMMIT)
    rest = await search(store, "value", page_size=5, path="src/jobs.py", page_token=page.next_page_token)
    assert (list(rest.hits), rest.next_page_token) == ([], "")


async def test_before_the_first_commit_code_is_found_too(start_store: StartStore) -> None:
    started = await start_store()
    assert list((await search(started, "anything")).hits) == []
    await index(started, {"src/uploads.py": UPLOADS})
    assert (await first(started, "retry upload", mode="CODE_SEARCH_MODE_NAMES")).names_score > 0
    assert "Uploader.retryFailedUpload" in (await first(started, "retry failed upload")).chunk.symbols


async def test_without_the_embedder_names_answer_and_say_so(store: StoreUnderTest) -> None:
    store.embedder.go_down()
    found = await search(store, "retry failed upload", page_size=1)
    assert (found.mode, found.degraded) == (pb.CODE_SEARCH_MODE_NAMES, True)
    assert "Uploader.retryFailedUpload" in found.hits[0].chunk.symbols
    for mode in ("CODE_SEARCH_MODE_CODE", "CODE_SEARCH_MODE_TEXT"):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await search(store, "retry failed upload", mode=mode)
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert not (await search(store, "upload", mode="CODE_SEARCH_MODE_NAMES")).degraded
    store.embedder.come_back()
    assert not (await search(store, "retry failed upload")).degraded


async def test_vectors_of_another_model_are_refused(store: StoreUnderTest) -> None:
    store.embedder.space = OTHER_SPACE
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await search(store, "retry failed upload")
    assert (failed.value.code(), reason_of(failed.value)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "EMBEDDING_SPACE_MISMATCH",
    )
    assert "forget-code" in (failed.value.details() or "")


async def test_vectors_of_another_length_are_refused_in_the_words_for_code(store: StoreUnderTest) -> None:
    store.embedder.space = replace(store.embedder.space, dimension=store.embedder.space.dimension + 1)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await search(store, "retry failed upload")
    assert failed.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "forget-code" in (failed.value.details() or "")


async def test_any_text_may_be_a_query(store: StoreUnderTest) -> None:
    for query in (
        "x" * 16384,
        "é" * 8192,
        "aB_" * 5000,
        "(((((",
        "'; DROP TABLE code_chunks; --",
        "%_\\",
        "😀 😀",
        "\ud7ff\u202e\ufeff",
        "\n\n  .\n",
        "a.b." * 4000,
        "\x01\x7f",
        "class",
        function("delta", lines=200),
    ):
        answer = await search(store, query)
        assert answer.mode == pb.CODE_SEARCH_MODE_FUSED
        assert answer.hits


async def test_what_is_wrong_is_named(store: StoreUnderTest) -> None:
    for field, fields in (
        ("query", {"query": ""}),
        ("query", {"query": " \n"}),
        ("query", {"query": "a\x00b"}),
        ("query", {"query": "x" * 16385}),
        ("mode", {"mode": 99}),
        ("kinds[1]", {"kinds": [1, 99]}),
        ("kinds[0]", {"kinds": [0]}),
        ("kinds", {"kinds": [0] * 51}),
        ("repository", {"repository": "a b"}),
        ("path", {"path": "a\x00"}),
        ("path", {"path": "x" * 1025}),
        ("path", {"path": "*a" * 40}),
        ("languages", {"languages": ["x"] * 51}),
        ("languages[0]", {"languages": [""]}),
        ("languages[1]", {"languages": ["go", "\x00"]}),
        ("languages[1]", {"languages": ["go", "pythn"]}),
        ("languages[0]", {"languages": ["x" * 100_000]}),
        ("page_size", {"page_size": -1}),
        ("page_token", {"page_token": "x" * 20000}),
    ):
        await refused(store, field, **{"query": "value", **fields})
    assert (await first(store, "value")).chunk.repository == REPOSITORY


async def refused(store: StoreUnderTest, field: str, **fields: Any) -> None:
    """The call fails with INVALID_ARGUMENT, and names the field."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await store.code.SearchCode(pb.SearchCodeRequest(**fields))
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT, fields
    assert (failed.value.details() or "").startswith(f"{field}:"), (field, failed.value.details())
