"""Search for code by each arm, filters, spaces: on the fake and on PostgreSQL."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from store.code.identifiers import names_asked, names_of, terms_asked, words_of_chunk
from store.code.path_filter import path_filter
from store.code.source import Chunk, CodeKind, CutMethod, Span
from store.code.stored import CodeSpaces, NewChunk, NewFile, Vectors, chunk_id
from store.errors import EmbeddingSpaceMismatchError
from store.repositories.code import CodeRepository
from store.repositories.code_search import CodeCandidate, CodeFilter, CodeQuestion, CodeSearchRepository, Meaning
from store.repositories.memory_code import MemoryCode, MemoryCodeData
from store.repositories.memory_code_search import MemoryCodeSearch
from store.repositories.postgres import code_search as sql
from store.repositories.postgres import code_words as words_sql
from store.repositories.postgres.code import PostgresCode
from store.repositories.postgres.code_filter import conditions
from store.repositories.postgres.code_search import PostgresCodeSearch
from tests.conftest import NewDatabase
from tests.fixtures_store import OTHER_SPACE, SPACE, execute, open_database, text_vector

SPACES = CodeSpaces(text=SPACE, code=SPACE)
REPOSITORY = "acme/backend"


@dataclass
class Kept:
    """A place where code is kept, and searched."""

    code: CodeRepository
    search: CodeSearchRepository
    url: str = ""

    async def write(self, *files: NewFile, repository: str = REPOSITORY, commit: bool = True) -> None:
        async with self.code.indexing(repository) as indexing:
            has_vectors = any(chunk.vectors is not None for file in files for chunk in file.chunks)
            await indexing.write(files, SPACES if has_vectors else None)
            if commit:
                await indexing.commit()

    async def find(self, question: CodeQuestion, limit: int = 200, **matching: Any) -> list[CodeCandidate]:
        return list((await self.search.candidates(question, CodeFilter(**matching), limit)).found)

    async def paths(self, question: CodeQuestion, **matching: Any) -> list[str]:
        found = await self.find(question, **matching)
        chunks = await self.search.chunks([one.id for one in found], CodeFilter(**matching))
        return sorted(f"{one.repository}:{one.path}" for one in chunks.values())


@pytest_asyncio.fixture(params=["memory", "postgres"])
async def kept(request: pytest.FixtureRequest, new_database: NewDatabase) -> AsyncIterator[Kept]:
    """One of the two."""
    if request.param == "memory":
        data = MemoryCodeData()
        yield Kept(MemoryCode(data), MemoryCodeSearch(data))
        return
    url = await new_database(migrated=True)
    async with open_database(url) as database:
        yield Kept(PostgresCode(database), PostgresCodeSearch(database), url)


def file(path: str, *chunks: tuple[str, str], language: str = "python", **fields: Any) -> NewFile:
    """A file of chunks with a name and code each; `fields` of its chunks."""
    return NewFile(
        path=path,
        content_hash=hashlib.sha256(repr(chunks).encode()).digest(),
        language=language,
        size=10,
        line_count=len(chunks),
        method=CutMethod.SYNTAX,
        cut_version=1,
        note="",
        outline="{}",
        chunks=tuple(_chunk(path, number, name, code, **fields) for number, (name, code) in enumerate(chunks)),
    )


def _chunk(path: str, number: int, name: str, code: str, *, embedded: bool = True, **fields: Any) -> NewChunk:
    chunk = Chunk(
        kind=CodeKind.FUNCTION,
        span=Span(number * 100, number * 100 + len(code), number + 2, number + 2),
        content=code,
        name=name.rpartition(".")[2],
        qualified_name=name,
        parent=name.rpartition(".")[0],
        symbols=(name,),
    )
    chunk = replace(chunk, **fields)
    return NewChunk(
        id=chunk_id(REPOSITORY, path, code, number),
        chunk=chunk,
        names=tuple(names_of(path, chunk)),
        words=words_of_chunk(path, chunk),
        input_hash=hashlib.sha256(code.encode()).digest(),
        vectors=Vectors(text=text_vector(name), code=text_vector(code)) if embedded else None,
        embedding_error=None if embedded else "refused",
    )


def by_words(query: str) -> CodeQuestion:
    return CodeQuestion(terms=terms_asked(query))


def by_name(query: str) -> CodeQuestion:
    return CodeQuestion(names=names_asked(query))


def meaning(text: str) -> Meaning:
    return Meaning(text_vector(text), SPACE)


async def test_each_arm_finds_what_it_compares_and_all_compare_what_one_found(kept: Kept) -> None:
    await kept.write(
        file("a.py", ("parseHTTPHeader", "split the line")),
        file("b.py", ("upload", "retry retry later")),
        file("c.py", ("decode", "bytes to text")),
    )
    question = CodeQuestion(
        meaning("bytes to text"), meaning("upload"), terms_asked("retry"), names_asked("parse http header")
    )
    found = {one.words > 0: one for one in await kept.find(question, limit=1)}
    assert len(await kept.find(question, limit=1)) == 3
    assert found[True].text == pytest.approx(1, abs=1e-5)
    everything = await kept.find(question)
    assert {round(one.code or 0, 4) for one in everything} >= {1.0}
    assert [one.named for one in everything if one.named] == [0.9]
    assert all(one.code is not None and one.text is not None for one in everything)


async def test_words_are_found_before_the_first_commit_and_new_ones_after_it(kept: Kept) -> None:
    await kept.write(file("a.py", ("parseHTTPHeader", "x")), file("b.py", ("other", "y")), commit=False)
    assert await kept.paths(by_words("parse http header")) == ["acme/backend:a.py"]
    await kept.write(commit=True)
    assert await kept.paths(by_words("parse http header")) == ["acme/backend:a.py"]
    await kept.write(file("c.py", ("uploadLater", "x")), commit=False)
    assert await kept.paths(by_words("upload")) == ["acme/backend:c.py"]
    assert await kept.paths(by_words("nowhere")) == []


async def test_rare_words_weigh_more_within_a_repository_as_over_all(kept: Kept) -> None:
    common = [file(f"{number}.py", (f"f{number}", "common word")) for number in range(9)]
    await kept.write(*common, file("rare.py", ("g", "rare word")))
    await kept.write(file("other.py", ("h", "something else")), repository="acme/frontend")
    for repository in ("", REPOSITORY):
        found = sorted(await kept.find(by_words("common rare"), repository=repository), key=lambda one: -one.words)
        chunks = await kept.search.chunks([one.id for one in found], CodeFilter())
        assert chunks[found[0].id].path == "rare.py"
        assert len(found) == 10


SMALL_CLASS = frozenset({CodeKind.CLASS, CodeKind.METHOD})

FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["acme/backend:lib/a.ts", "acme/backend:src/a.py", "acme/backend:src/deep/b.py", "acme/frontend:src/a.py"]),
    ({"repository": "acme/frontend"}, ["acme/frontend:src/a.py"]),
    ({"repository": "acme"}, []),
    ({"path": "src/", "repository": REPOSITORY}, ["acme/backend:src/a.py", "acme/backend:src/deep/b.py"]),
    ({"path": "src/*.py", "repository": REPOSITORY}, ["acme/backend:src/a.py"]),
    ({"path": "**/b.py"}, ["acme/backend:src/deep/b.py"]),
    ({"path": "**/[!a].py"}, ["acme/backend:src/deep/b.py"]),
    ({"path": "%"}, []),
    ({"languages": ["typescript"]}, ["acme/backend:lib/a.ts"]),
    ({"languages": ["typescript", "go"], "path": "src"}, []),
    ({"kinds": [CodeKind.CLASS]}, ["acme/backend:lib/a.ts"]),
    ({"kinds": [CodeKind.METHOD]}, ["acme/backend:lib/a.ts"]),
    ({"kinds": [CodeKind.METHOD, CodeKind.LINES], "languages": ["python"]}, []),
]


async def test_all_arms_stay_within_the_filters(kept: Kept) -> None:
    await kept.write(
        file("src/a.py", ("find", "needle one")),
        file("src/deep/b.py", ("find", "needle two")),
        file("lib/a.ts", ("find", "needle three"), language="typescript", kind=CodeKind.CLASS, kinds=SMALL_CLASS),
    )
    await kept.write(file("src/a.py", ("find", "needle four")), repository="acme/frontend")
    for matching, paths in FILTERS:
        wanted = {**matching, "path": path_filter(matching.get("path", ""))}
        for question in (
            by_words("needle"),
            by_name("find"),
            CodeQuestion(code=meaning("needle")),
            CodeQuestion(text=meaning("needle")),
        ):
            assert await kept.paths(question, **wanted) == paths, (matching, question)


async def test_a_chunk_without_vectors_is_found_by_words_and_names(kept: Kept) -> None:
    await kept.write(file("a.py", ("find", "needle"), embedded=False), file("b.py", ("other", "thing")))
    question = CodeQuestion(meaning("needle"), meaning("find"), terms_asked("needle"), names_asked("find"))
    found = {one.named: one for one in await kept.find(question)}
    assert (found[1.0].code, found[1.0].text) == (None, None)
    assert found[1.0].words > 0


async def test_vectors_of_another_model_are_not_compared(kept: Kept) -> None:
    await kept.write(file("a.py", ("find", "needle")))
    for question in (
        CodeQuestion(code=Meaning(text_vector("x"), OTHER_SPACE)),
        CodeQuestion(meaning("x"), Meaning(text_vector("x"), OTHER_SPACE)),
    ):
        with pytest.raises(EmbeddingSpaceMismatchError, match="forget-code"):
            await kept.find(question)


async def test_where_nothing_is_kept_nothing_is_found_by_whatever_model(kept: Kept) -> None:
    question = CodeQuestion(Meaning(text_vector("x"), OTHER_SPACE), meaning("x"), terms_asked("x"), names_asked("x"))
    assert await kept.find(question) == []


@pytest.mark.parametrize("kept", ["postgres"], indirect=True)
async def test_chunks_of_before_the_kinds_of_definitions_were_kept_are_found_by_their_own(kept: Kept) -> None:
    await kept.write(file("a.py", ("find", "needle"), kind=CodeKind.CLASS, kinds=SMALL_CLASS))
    await execute(kept.url, "UPDATE code_chunks SET metadata = metadata - 'kinds'")
    assert await kept.paths(by_words("needle"), kinds=[CodeKind.METHOD]) == []
    assert await kept.paths(by_words("needle"), kinds=[CodeKind.CLASS]) == ["acme/backend:a.py"]
    await kept.write(file("a.py", ("find", "needle"), kind=CodeKind.CLASS, kinds=SMALL_CLASS))
    assert await kept.paths(by_words("needle"), kinds=[CodeKind.METHOD]) == ["acme/backend:a.py"]


@pytest.mark.parametrize("kept", ["postgres"], indirect=True)
@pytest.mark.parametrize(
    ("statement", "index"),
    [(sql.BY_TEXT, "ix_code_chunks_embedding_text"), (sql.BY_CODE, "ix_code_chunks_embedding_code")],
)
async def test_the_nearest_are_found_by_the_index_on_their_vectors(kept: Kept, statement: str, index: str) -> None:
    await kept.write(*(file(f"{number}.py", (f"f{number}", f"text {number}")) for number in range(50)))
    filters = CodeFilter("", path_filter("**/*.py"), ["python"], [CodeKind.METHOD])
    async with open_database(kept.url) as database, database.reading(sql.SETTINGS.format(timeout=10_000)) as connection:
        for matching in (CodeFilter(), filters):
            [[plan]] = await connection.fetch(
                f"EXPLAIN (FORMAT JSON) {statement}", *conditions(matching), text_vector("text"), 200
            )
            assert index in plan, (matching, plan)
            assert '"Sort"' not in plan


@pytest.mark.parametrize("kept", ["postgres"], indirect=True)
async def test_patterns_that_go_back_and_forth_elsewhere_do_not_in_the_database(kept: Kept) -> None:
    path = "/".join(["a" * 60] * 16)
    await kept.write(file(path, ("find", "needle")))
    for hostile in (
        "**/**/**/*a*a*a*b",
        "*a" * 31 + "*b",
        "**a" * 31 + "**b",
        "**/*" * 15 + "b",
        "?" * 1000 + "*",
        "*[a-z]" * 15 + "*b",
        "a?" * 400,
    ):
        assert await kept.paths(by_words("needle"), path=path_filter(hostile)) == []
    ranges = "".join(f"{chr(0x100 + 3 * one)}-{chr(0x10000 + 3 * one)}" for one in range(60))
    assert await kept.paths(by_words("needle"), path=path_filter(f"[!{ranges}]**")) == [f"acme/backend:{path}"]


@pytest.mark.parametrize("kept", ["postgres"], indirect=True)
async def test_few_chunks_within_a_filter_are_all_compared_where_an_index_may_stop_too_soon(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [file(f"{number}.py", (f"f{number}", f"some text {number}")) for number in range(60)]
    await kept.write(*files, file("src/far.py", ("far", "another thing altogether")))
    await execute(kept.url, "ANALYZE code_chunks")
    monkeypatch.setattr(sql, "_SCANNED", 10)
    question = CodeQuestion(code=meaning("some text"))
    matching = CodeFilter(path=path_filter("src/"))
    few = await kept.search.candidates(question, matching, 5)
    assert (len(few.found), few.may_miss_nearest) == (1, False)
    monkeypatch.setattr(sql, "_COMPARED", 0)
    assert (await kept.search.candidates(question, matching, 5)).may_miss_nearest
    assert not (await kept.search.candidates(question, CodeFilter(), 5)).may_miss_nearest


@pytest.mark.parametrize("kept", ["postgres"], indirect=True)
async def test_an_answer_says_which_words_were_not_looked_at(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    await kept.write(*(file(f"{number}.py", (f"f{number}", "common")) for number in range(9)))
    assert (await kept.search.candidates(by_words("common"), CodeFilter(), 5)).unseen_words == 0
    monkeypatch.setattr(words_sql, "MOST_EVENTS", 4)
    cut = await kept.search.candidates(by_words("common"), CodeFilter(), 5)
    assert cut.unseen_words == cut.best_words > 0


@pytest.mark.parametrize("kept", ["postgres"], indirect=True)
async def test_one_that_is_called_just_so_is_found_among_many_that_nearly_are(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [(f"C{number}.Run", f"many {number}") for number in range(30)]
    await kept.write(file("a.py", *many, ("run", "the one"), embedded=False))
    whole = await kept.search.candidates(by_name("run"), CodeFilter(), 200)
    assert (len(whole.found), whole.unseen_named) == (31, 0)
    monkeypatch.setattr(sql, "_NAMESAKES", 20)
    cut = await kept.search.candidates(by_name("run"), CodeFilter(), 5)
    assert sorted(one.named for one in cut.found) == [0.9, 0.9, 0.9, 0.9, 1.0]
    assert cut.unseen_named == 0.9
