"""CodeService over gRPC, on PostgreSQL: what becomes of files."""

from collections.abc import Awaitable

import grpc
import pytest

from servicekit.status import reason_of
from tests.code_files import source
from tests.fixtures_code import (
    COMMIT,
    KEEPING,
    REPOSITORY,
    embedded,
    file,
    function,
    index,
    module,
    paths,
    unchanged,
)
from tests.fixtures_store import StartStore, StoreUnderTest
from trimem.store.v1 import code_service_pb2 as pb
from trimem.store.v1 import store_admin_pb2 as admin

INVALID = grpc.StatusCode.INVALID_ARGUMENT
FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


async def chunk_named(store: StoreUnderTest, name: str) -> pb.GetChunkResponse:
    """The chunk of a function."""
    [row] = await store.rows("SELECT id FROM code_chunks WHERE name = $1", name)
    return await store.code.GetChunk(pb.GetChunkRequest(id=str(row["id"])))


async def test_files_come_back_as_chunks_with_two_vectors(store: StoreUnderTest) -> None:
    content = module("alpha", "beta")
    answer = await index(store, {"src/one.py": content, "notes.txt": "Some notes.\n"}, COMMIT)

    assert (answer.stored_count, answer.unchanged_count, answer.failed_count, answer.deleted_count) == (2, 0, 0, 0)
    assert answer.chunk_count == answer.embedded_count == 3
    assert answer.node_count >= 4  # two files, two functions
    assert answer.edge_count >= 2
    [repository] = (await store.code.ListRepositories(pb.ListRepositoriesRequest())).repositories
    assert (repository.name, repository.file_count, repository.chunk_count) == (REPOSITORY, 2, 3)
    assert not repository.has_uncommitted_changes
    assert repository.commit_time.seconds >= repository.create_time.seconds > 0
    notes, one = (await store.code.ListFiles(pb.ListFilesRequest(repository=REPOSITORY))).files
    assert (notes.path, notes.language, notes.cut_method) == ("notes.txt", "text", pb.CUT_METHOD_LINES)
    assert (one.path, one.language, one.cut_method) == ("src/one.py", "python", pb.CUT_METHOD_SYNTAX)
    assert (one.size_bytes, one.chunk_count, len(one.content_hash)) == (len(content), 2, 64)
    chunk = (await chunk_named(store, "beta")).chunk
    assert content.encode()[chunk.start_byte : chunk.end_byte].decode() == chunk.content
    assert (chunk.repository, chunk.path, chunk.kind) == (REPOSITORY, "src/one.py", pb.CODE_KIND_FUNCTION)
    assert (chunk.docstring, list(chunk.parameters)) == ("Says what beta is.", ["value"])
    assert (chunk.file_content_hash, chunk.embedding_error) == (one.content_hash, "")
    [row] = await store.rows(
        "SELECT count(*) FROM code_chunks WHERE embedding_text IS NOT NULL AND embedding_code IS NOT NULL"
    )
    assert row["count"] == 3
    status = await store.admin.GetStatus(admin.GetStatusRequest())
    assert [(one.column, one.model_name) for one in status.spaces] == [
        ("code_chunks.embedding_code", "test/code-model"),
        ("code_chunks.embedding_text", "test/model"),
    ]
    value = store.registry.get_sample_value
    counted = [value(f"trimem_store_code_{name}_total") for name in ("files", "chunks", "embedded_chunks")]
    assert counted == [2, 3, 3]


async def test_a_second_run_embeds_nothing_and_writes_nothing(store: StoreUnderTest) -> None:
    files = {f"pkg/m{n}.py": module(f"alpha{n}", f"beta{n}") for n in range(40)}
    first = await index(store, files, COMMIT)
    texts, codes = embedded(store)
    assert len(texts) == len(codes) == first.chunk_count == 80
    before = await store.rows("SELECT xmin::text, id FROM code_chunks ORDER BY id")
    graph = await store.rows("SELECT xmin::text, node_id FROM nodes ORDER BY node_id")

    second = await index(store, files, COMMIT)

    assert (second.stored_count, second.unchanged_count, second.deleted_count) == (0, 40, 0)
    assert (second.chunk_count, second.embedded_count) == (0, 0)
    assert (second.node_count, second.edge_count) == (first.node_count, first.edge_count)
    assert embedded(store) == ([], [])
    assert await store.rows("SELECT xmin::text, id FROM code_chunks ORDER BY id") == before
    assert await store.rows("SELECT xmin::text, node_id FROM nodes ORDER BY node_id") == graph


async def test_of_a_changed_file_only_new_chunks_are_embedded_and_written(store: StoreUnderTest) -> None:
    names = [f"job{n}" for n in range(9)]
    await index(store, {"jobs.py": module(*names), "other.py": module("other")}, COMMIT)
    embedded(store)
    before = {row["name"]: row for row in await store.rows("SELECT xmin::text, name, id, start_line FROM code_chunks")}

    edited = module(*names).replace("compute_job5", "imagine_job5")  # as long, so that nothing moves
    answer = await index(store, {"jobs.py": edited, "other.py": module("other")}, COMMIT)

    assert (answer.stored_count, answer.unchanged_count, answer.chunk_count, answer.embedded_count) == (1, 1, 9, 1)
    texts, codes = embedded(store)
    assert (len(texts), len(codes)) == (1, 1)
    assert "job5_0" in codes[0]
    after = {row["name"]: row for row in await store.rows("SELECT xmin::text, name, id, start_line FROM code_chunks")}
    assert [name for name in after if after[name] != before[name]] == ["job5"]


async def test_chunks_that_move_keep_their_ids_and_vectors(store: StoreUnderTest) -> None:
    await index(store, {"jobs.py": module("one", "two")}, COMMIT)
    embedded(store)
    before = {row["name"]: row for row in await store.rows("SELECT name, id, embedding_code::text FROM code_chunks")}

    answer = await index(store, {"jobs.py": module("zero", "one", "two")}, COMMIT)

    assert (answer.chunk_count, answer.embedded_count) == (3, 1)
    after = {row["name"]: row for row in await store.rows("SELECT name, id, embedding_code::text FROM code_chunks")}
    assert (after["one"], after["two"]) == (before["one"], before["two"])
    zero, one, two = [(await chunk_named(store, name)).chunk for name in ("zero", "one", "two")]
    assert zero.end_byte <= one.start_byte < one.end_byte <= two.start_byte
    assert zero.end_line < one.start_line < one.end_line < two.start_line


async def test_what_is_embedded_alike_is_embedded_once(store: StoreUnderTest) -> None:
    """Two copies of one function in a file have the same inputs, and ids of their own."""
    answer = await index(store, {"twice.py": module("same", "same")}, COMMIT)

    assert (answer.chunk_count, answer.embedded_count) == (2, 1)
    rows = await store.rows("SELECT DISTINCT id, input_hash FROM code_chunks")
    assert (len(rows), len({row["input_hash"] for row in rows})) == (2, 1)


async def test_a_commit_deletes_what_was_not_named(store: StoreUnderTest) -> None:
    await index(store, {"a.py": module("a"), "b.py": module("b"), "c.py": module("c")}, COMMIT)
    hashes = {
        one.path: one.content_hash
        for one in (await store.code.ListFiles(pb.ListFilesRequest(repository=REPOSITORY))).files
    }

    without = await index(store, {"a.py": module("a")})
    assert (without.deleted_count, await paths(store)) == (0, ["a.py", "b.py", "c.py"])
    keeping = await index(store, {"a.py": module("a")}, KEEPING)
    assert (keeping.deleted_count, await paths(store)) == (0, ["a.py", "b.py", "c.py"])
    named = await index(store, {"a.py": module("a")}, unchanged("c.py", hashes["c.py"]), COMMIT)

    assert (named.deleted_count, named.unchanged_count) == (1, 2)
    assert await paths(store) == ["a.py", "c.py"]
    assert not await store.rows("SELECT FROM code_chunks WHERE file_path = 'b.py'")
    assert not await store.rows("SELECT FROM nodes WHERE properties->>'path' = 'b.py'")


async def test_a_commit_without_files_deletes_all(store: StoreUnderTest) -> None:
    await index(store, {"a.py": module("a"), "b.py": module("b")}, COMMIT)

    answer = await index(store, {}, COMMIT)

    assert (answer.deleted_count, answer.node_count, answer.edge_count) == (2, 0, 0)
    assert await paths(store) == []
    [repository] = (await store.code.ListRepositories(pb.ListRepositoriesRequest())).repositories
    assert (repository.file_count, repository.chunk_count, repository.has_uncommitted_changes) == (0, 0, False)


async def test_the_graph_waits_for_the_commit(store: StoreUnderTest) -> None:
    answer = await index(store, {"a.py": module("a")})

    assert (answer.stored_count, answer.node_count, answer.edge_count) == (1, 0, 0)
    [repository] = (await store.code.ListRepositories(pb.ListRepositoriesRequest())).repositories
    assert repository.has_uncommitted_changes
    assert not repository.HasField("commit_time")
    committed = await index(store, {"a.py": module("a")}, COMMIT)
    assert committed.unchanged_count == 1
    assert committed.node_count >= 2


async def test_files_that_cannot_be_stored_do_not_stop_the_others(start_store: StartStore) -> None:
    store = await start_store(code_max_file_bytes=4096)
    await index(store, {"big.py": module("big"), "binary.py": module("binary")}, COMMIT)
    bad_paths = ["", "/etc/passwd", "../../etc/passwd", "a/../b", "./a", "a//b", "a/", "a\\b", "C:/a", "a\x00b", "a\nb"]
    messages = [file(path, "x = 1\n") for path in bad_paths]
    messages += [
        file("p" * 1025, ""),
        file("é" * 513, ""),
        file("big.py", "x = 1\n" * 1000),
        file("binary.py", b"\x7fELF\x00"),
        file("p" * 1024, "long = 1\n"),
        file("good.py", module("good")),
        file("good.py", module("better")),
        unchanged("good.py", "0" * 64),
        unchanged("../up.py", "0" * 64),
        unchanged("hashless.py", ""),
        unchanged("nowhere.py", "0" * 64),
        COMMIT,
    ]
    messages[0].repository = REPOSITORY

    answer = await store.code.IndexFiles(iter(messages))

    assert (answer.stored_count, answer.failed_count, answer.deleted_count) == (2, len(bad_paths) + 9, 0)
    assert await paths(store) == ["big.py", "binary.py", "good.py", "p" * 1024]
    failed = [(one.path, grpc_code(one.error.code), one.error.message) for one in answer.results]
    assert [path for path, _, _ in failed] == [
        *bad_paths, "p" * 1024, "é" * 512, "big.py", "binary.py", "good.py", "good.py",
        "../up.py", "hashless.py", "nowhere.py",
    ]  # fmt: skip
    assert {code for _, code, _ in failed[:-1]} == {INVALID}
    assert failed[-1][1] is FAILED_PRECONDITION
    assert all(message.startswith("file.path: ") for _, _, message in failed[: len(bad_paths) + 2])
    assert [message for _, _, message in failed[-7:-1]] == [
        "file.content: has 6000 bytes, and CODE_MAX_FILE_BYTES allows 4096",
        "file.content: is binary: it has a NUL",
        "file.path: came before in this call",
        "unchanged.path: came before in this call",
        "unchanged.path: must not have an empty part, . or ..",
        "unchanged.content_hash: is required",
    ]
    assert (await chunk_named(store, "good")).chunk.docstring == "Says what good is."
    assert (await chunk_named(store, "big")).chunk.name == "big"  # kept as it was


async def test_files_of_odd_content_are_stored(store: StoreUnderTest) -> None:
    crlf = module("windows").replace("\n", "\r\n").encode()
    bom = b"\xef\xbb\xbf" + module("marked").encode()
    latin = "def grüße(wert):\n".encode("latin-1") + function("rest").encode()[len("def rest(value):\n") :]
    files = {"empty.py": b"", "blank.py": b"\n\n\n", "crlf.py": crlf, "bom.py": bom, "latin.py": latin}
    files["broken.py"] = b"def f(:\n" + function("after").encode()

    answer = await index(store, files, COMMIT)

    assert (answer.stored_count, answer.failed_count) == (6, 0)
    listed = {one.path: one for one in (await store.code.ListFiles(pb.ListFilesRequest(repository=REPOSITORY))).files}
    assert (listed["empty.py"].chunk_count, listed["empty.py"].size_bytes, listed["blank.py"].chunk_count) == (0, 0, 0)
    assert "UTF-8" in listed["latin.py"].note
    assert listed["broken.py"].cut_method != pb.CUT_METHOD_SYNTAX
    assert {one.path for one in answer.results} >= {"latin.py", "broken.py"}
    assert (await chunk_named(store, "windows")).chunk.content.count("\r\n") > 5
    marked = (await chunk_named(store, "marked")).chunk
    assert (marked.start_byte, marked.content[:3]) == (0, "def")
    second = await index(store, files, COMMIT)
    assert (second.stored_count, second.unchanged_count) == (0, 6)


async def test_tabs_are_kept_and_found(store: StoreUnderTest) -> None:
    files = {"tabs.go": source("server.go"), "tabs.py": module("tabbed").replace("    ", "\t").encode()}

    answer = await index(store, files, COMMIT)

    assert (answer.stored_count, answer.failed_count, list(answer.results)) == (2, 0, [])
    rows = await store.rows("SELECT file_path, start_byte, end_byte, content FROM code_chunks")
    for row in rows:
        assert files[row["file_path"]][row["start_byte"] : row["end_byte"]].decode() == row["content"]
    tabs = sum(row["content"].count("\t") for row in rows if row["file_path"] == "tabs.go")
    assert tabs == files["tabs.go"].count(b"\t") > 50
    python = (await chunk_named(store, "tabbed")).chunk
    assert (python.docstring, python.content.count("\n\t")) == ("Says what tabbed is.", 14)
    [hit] = (await store.code.SearchCode(pb.SearchCodeRequest(query="compute tabbed", path="tabs.py"))).hits
    lines = dict(enumerate(hit.snippet.lines, hit.snippet.start_line))
    assert any(lines[line].startswith("\ttabbed_") for line in hit.snippet.matching_lines)


async def test_a_large_generated_file_is_stored_once_and_costs_nothing_again(start_store: StartStore) -> None:
    store = await start_store(code_max_file_bytes=2 * 1024 * 1024)
    indent = " " * 48
    rows = "".join(f'{indent}("{n:06}", {n}, [{n % 7}, {n % 11}], None),\n' for n in range(15_000))
    made = f"TABLE = [\n{rows}]\n\n\n{function('look_up')}"
    assert len(made) > 1_200_000

    answer = await index(store, {"made.py": made, "other.py": module("other")}, COMMIT)

    assert (answer.stored_count, answer.failed_count) == (2, 0)
    [first, last] = await store.rows(
        "(SELECT * FROM code_chunks WHERE file_path = 'made.py' ORDER BY ordinal LIMIT 1) UNION ALL "
        "(SELECT * FROM code_chunks WHERE file_path = 'made.py' ORDER BY ordinal DESC LIMIT 1)"
    )
    assert (first["start_byte"], last["name"], last["end_byte"]) == (0, "look_up", len(made) - 1)
    assert answer.chunk_count == answer.embedded_count > 250
    embedded(store)
    again = await index(store, {"made.py": made, "other.py": module("other")}, COMMIT)
    assert (again.unchanged_count, embedded(store)) == (2, ([], []))


async def test_a_stream_that_makes_no_sense_is_refused(store: StoreUnderTest) -> None:
    await index(store, {"kept.py": module("kept")}, COMMIT)
    first = file("a.py", "a = 1\n", REPOSITORY)
    streams: list[tuple[list[pb.IndexFilesRequest], str]] = [
        ([], "repository"),
        ([file("a.py", "a = 1\n")], "repository"),
        ([file("a.py", "a = 1\n", "no spaces")], "repository"),
        ([file("a.py", "a = 1\n", "x" * 201)], "repository"),
        ([first, file("b.py", "b = 1\n", "another/one")], "repository"),
        ([first, COMMIT, file("b.py", "b = 1\n")], "commit"),
        ([first, COMMIT, COMMIT], "commit"),
        ([first, pb.IndexFilesRequest()], "item"),
    ]
    for messages, field in streams:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await store.code.IndexFiles(iter(messages))

        assert caught.value.code() is INVALID
        assert (caught.value.details() or "").startswith(f"{field}: ")
        assert "kept.py" in await paths(store)  # nothing is committed


async def test_repositories_are_apart(store: StoreUnderTest) -> None:
    await index(store, {"a.py": module("a"), "b.py": module("b")}, COMMIT, repository="one")
    await index(store, {"a.py": module("a")}, COMMIT, repository="two")

    deleted = await store.code.DeleteRepository(pb.DeleteRepositoryRequest(repository="one"))

    assert (deleted.file_count, deleted.chunk_count) == (2, 2)
    assert (await paths(store, "one"), await paths(store, "two")) == ([], ["a.py"])
    assert {row["namespace"] for row in await store.rows("SELECT namespace FROM nodes")} == {"code/two"}
    assert {row["repository"] for row in await store.rows("SELECT repository FROM code_terms")} == {"two"}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await store.code.DeleteRepository(pb.DeleteRepositoryRequest(repository="one"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert reason_of(caught.value) == "REPOSITORY_NOT_FOUND"


async def test_lists_go_page_by_page(store: StoreUnderTest) -> None:
    names = ["ä.py", "B.py", "a.py", "a/b.py", "a/c/d.py", "z.py"]
    await index(store, dict.fromkeys(names, "x = 1\n"), COMMIT)
    for name in ("b", "A", "_"):
        await index(store, {"x.py": ""}, COMMIT, repository=name)

    found, token = [], ""
    while True:
        page = await store.code.ListFiles(pb.ListFilesRequest(repository=REPOSITORY, page_size=2, page_token=token))
        found += [one.path for one in page.files]
        token = page.next_page_token
        if not token:
            break
    assert found == sorted(names, key=str.encode)
    below = await store.code.ListFiles(pb.ListFilesRequest(repository=REPOSITORY, path="a/"))
    assert [one.path for one in below.files] == ["a/b.py", "a/c/d.py"]
    matching = await store.code.ListFiles(pb.ListFilesRequest(repository=REPOSITORY, path="a/*.py"))
    assert [one.path for one in matching.files] == ["a/b.py"]
    first = await store.code.ListRepositories(pb.ListRepositoriesRequest(page_size=3))
    second = await store.code.ListRepositories(pb.ListRepositoriesRequest(page_token=first.next_page_token))
    assert [one.name for one in [*first.repositories, *second.repositories]] == ["A", "_", REPOSITORY, "b"]
    assert second.next_page_token == ""


async def test_bad_requests_name_their_field(store: StoreUnderTest) -> None:
    await index(store, {"a.py": "", "b.py": ""}, COMMIT)
    page = await store.code.ListFiles(pb.ListFilesRequest(repository=REPOSITORY, page_size=1))
    calls: list[tuple[Awaitable[object], str]] = [
        (store.code.ListFiles(pb.ListFilesRequest()), "repository"),
        (store.code.ListFiles(pb.ListFilesRequest(repository=REPOSITORY, page_size=-1)), "page_size"),
        (store.code.ListFiles(pb.ListFilesRequest(repository=REPOSITORY, page_token="?")), "page_token"),
        (store.code.ListFiles(pb.ListFilesRequest(repository="other", page_token=page.next_page_token)), "page_token"),
        (store.code.ListFiles(pb.ListFilesRequest(repository=REPOSITORY, path="x" * 1025)), "path"),
        (store.code.ListFiles(pb.ListFilesRequest(repository=REPOSITORY, path="\x00")), "path"),
        (store.code.ListRepositories(pb.ListRepositoriesRequest(page_token="WzEsMl0")), "page_token"),
        (store.code.DeleteRepository(pb.DeleteRepositoryRequest()), "repository"),
        (store.code.GetChunk(pb.GetChunkRequest()), "id"),
        (store.code.GetChunk(pb.GetChunkRequest(id="x")), "id"),
    ]
    for call, field in calls:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is INVALID
        assert (caught.value.details() or "").startswith(f"{field}: ")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await store.code.GetChunk(pb.GetChunkRequest(id="0198c5a0-7b1e-7c3a-9f00-2b6d1c9e4a11"))
    assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.NOT_FOUND, "CHUNK_NOT_FOUND")


def grpc_code(number: int) -> grpc.StatusCode:
    """The code of a google.rpc.Status."""
    return next(code for code in grpc.StatusCode if code.value[0] == number)
