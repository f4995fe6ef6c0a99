"""What every CodeRepository does: the fake in memory and PostgreSQL."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from hashlib import sha256

import pytest
import pytest_asyncio

from servicekit.errors import AbortedError
from store.code.path_filter import path_filter
from store.code.source import Chunk, CodeKind, CutMethod, Span
from store.code.stored import CodeSpaces, KnownFile, NewChunk, NewFile, Vectors, chunk_id
from store.errors import CodeDimensionError, CodeSpaceMismatchError
from store.events import Words
from store.repositories.code import CodeCounts, CodeRepository
from store.repositories.memory_code import MemoryCode, MemoryCodeData
from store.repositories.postgres.code import PostgresCode
from tests.conftest import NewDatabase
from tests.fixtures_store import CODE_SPACE, DIMENSION, OTHER_SPACE, SPACE, open_database, text_vector

SPACES = CodeSpaces(SPACE, CODE_SPACE)
ALL = path_filter("")


@pytest_asyncio.fixture(params=["memory", "postgres"])
async def code(request: pytest.FixtureRequest, new_database: NewDatabase) -> AsyncIterator[CodeRepository]:
    """An empty repository: the fake, and the real one."""
    if request.param == "memory":
        yield MemoryCode(MemoryCodeData(DIMENSION))
        return
    async with open_database(await new_database(migrated=True)) as database:
        yield PostgresCode(database)


def new_chunk(repository: str, path: str, content: str, line: int = 1, *, vectors: bool = True) -> NewChunk:
    """A chunk with all that it may have."""
    chunk = Chunk(
        kind=CodeKind.METHOD,
        span=Span(line * 100, line * 100 + len(content), line, line + 3),
        content=content,
        name="decode",
        qualified_name="JSONDecoder.decode",
        parent="JSONDecoder",
        signature="def decode(self, s):",
        docstring="“Says” what \\ it is\n日本 🚀",
        imports=("json", "re"),
        parameters=("self", "s"),
        decorators=('app.route("/")',),
        complexity=3,
        symbols=("JSONDecoder.decode",),
    )
    return NewChunk(
        id=chunk_id(repository, path, content, 0),
        chunk=chunk,
        names=("=decode", "decode"),
        words=Words((-5, 7), (1, 2)),
        input_hash=sha256(content.encode()).digest(),
        vectors=Vectors(text_vector(content), text_vector(content[::-1])) if vectors else None,
        embedding_error=None if vectors else "too odd",
    )


def new_file(path: str, *chunks: NewChunk, content: bytes = b"x") -> NewFile:
    """A file of these chunks."""
    return NewFile(
        path=path,
        content_hash=sha256(content).digest(),
        language="python",
        size=len(content),
        line_count=7,
        method=CutMethod.SYNTAX_WITH_ERRORS,
        cut_version=3,
        note="odd",
        outline='[["a"],{"b":1.5}]',
        chunks=chunks,
    )


async def write(code: CodeRepository, repository: str, *files: NewFile, spaces: CodeSpaces | None = SPACES) -> None:
    """Store files."""
    async with code.indexing(repository) as indexing:
        await indexing.write(files, spaces)


async def chunks_of(code: CodeRepository, *chunks: NewChunk) -> Sequence[Chunk | None]:
    """What is stored of chunks."""
    found = [await code.chunk(one.id) for one in chunks]
    return [None if one is None else one.chunk for one in found]


async def test_a_file_comes_back_as_it_was_stored(code: CodeRepository) -> None:
    one, bare = new_chunk("r", "a/b.py", "one"), new_chunk("r", "a/b.py", "bare", 9, vectors=False)
    await write(code, "r", new_file("a/b.py", one, bare))

    stored = await code.chunk(one.id)

    assert stored is not None
    assert (stored.id, stored.repository, stored.path, stored.language) == (one.id, "r", "a/b.py", "python")
    assert (stored.chunk, stored.embedding_error) == (one.chunk, "")
    assert stored.file_content_hash == sha256(b"x").hexdigest()
    without = await code.chunk(bare.id)
    assert without is not None
    assert without.embedding_error == "too odd"
    [file] = await code.files("r", ALL, "", 10)
    assert (file.path, file.content_hash, file.cut_version) == ("a/b.py", sha256(b"x").digest(), 3)
    assert (file.language, file.size, file.line_count, file.chunk_count) == ("python", 1, 7, 2)
    assert (file.method, file.note) == (CutMethod.SYNTAX_WITH_ERRORS, "odd")
    [facts] = await code.repositories("", 10)
    assert (facts.name, facts.file_count, facts.chunk_count, facts.changed) == ("r", 1, 2, True)
    assert facts.commit_time is None
    async with code.indexing("r") as indexing:
        [(path, language, outline)] = [one async for some in indexing.outlines() for one in some]
    assert (path, language, json.loads(outline)) == ("a/b.py", "python", [["a"], {"b": 1.5}])


async def test_a_file_takes_the_place_of_the_one_with_its_path(code: CodeRepository) -> None:
    one, two, three = (new_chunk("r", "a.py", name, line) for line, name in enumerate(["one", "two", "three"], 1))
    await write(code, "r", new_file("a.py", one, two))
    moved = replace(two, chunk=replace(two.chunk, span=Span(1, 4, 1, 1), docstring="another"))
    other_input = replace(one, input_hash=b"o" * 32)

    await write(code, "r", new_file("a.py", moved, three, content=b"y"))
    assert await chunks_of(code, one, two, three) == [None, moved.chunk, three.chunk]
    await write(code, "r", new_file("a.py", other_input, moved))
    assert await chunks_of(code, one, two, three) == [one.chunk, moved.chunk, None]
    async with code.indexing("r") as indexing:
        known = await indexing.vectors([one.input_hash, other_input.input_hash, two.input_hash])
    assert set(known.vectors) == {other_input.input_hash, two.input_hash}


async def test_vectors_are_known_by_what_was_embedded(code: CodeRepository) -> None:
    one, bare = new_chunk("r", "a.py", "one"), new_chunk("r", "a.py", "bare", vectors=False)
    await write(code, "r", new_file("a.py", one, bare))
    async with code.indexing("r") as indexing:
        known = await indexing.vectors([one.input_hash, bare.input_hash, b"?" * 32])
        assert known.spaces == SPACES
        assert list(known.vectors) == [one.input_hash]
        assert one.vectors is not None
        assert known.vectors[one.input_hash].text.tolist() == one.vectors.text.tolist()
        assert known.vectors[one.input_hash].code.tolist() == one.vectors.code.tolist()
        assert await indexing.vectors([]) == await indexing.vectors([b"?" * 32])
    async with code.indexing("other") as indexing:
        assert not (await indexing.vectors([one.input_hash])).vectors


async def test_vectors_of_another_model_are_refused_and_nothing_is_written(code: CodeRepository) -> None:
    await write(code, "r", new_file("a.py", new_chunk("r", "a.py", "one")))
    for spaces in (CodeSpaces(OTHER_SPACE, CODE_SPACE), CodeSpaces(SPACE, OTHER_SPACE)):
        with pytest.raises(CodeSpaceMismatchError):
            await write(code, "other", new_file("b.py", new_chunk("other", "b.py", "two")), spaces=spaces)
    longer = CodeSpaces(SPACE, replace(CODE_SPACE, dimension=DIMENSION + 1))
    with pytest.raises(CodeDimensionError):
        await write(code, "other", new_file("b.py", new_chunk("other", "b.py", "two")), spaces=longer)

    assert [one.name for one in await code.repositories("", 10)] == ["r"]
    await write(code, "other", new_file("b.py"), spaces=None)  # without vectors there is nothing to compare


async def test_what_is_known_of_files_and_which_are_named(code: CodeRepository) -> None:
    await write(code, "r", new_file("a.py"), new_file("b.py", content=b"y"), new_file("c.py"), spaces=None)
    async with code.indexing("r") as indexing:
        assert await indexing.known({"b.py", "nowhere.py"}) == {"b.py": KnownFile(sha256(b"y").digest(), 3)}
        assert await indexing.name(["a.py", "new.py"]) == {"a.py", "new.py"}
        assert await indexing.name(["a.py", "b.py"]) == {"b.py"}
        await indexing.commit()
        assert not await indexing.has_changed()
        assert await indexing.delete_unnamed() == 1
        assert await indexing.has_changed()
        assert await indexing.delete_unnamed() == 0
    assert [one.path for one in await code.files("r", ALL, "", 10)] == ["a.py", "b.py"]
    async with code.indexing("r") as indexing:
        assert await indexing.delete_unnamed() == 2  # what another call named is forgotten


async def test_a_change_lasts_until_the_commit(code: CodeRepository) -> None:
    async with code.indexing("r") as indexing:
        assert await indexing.has_changed()
        await indexing.commit()
        assert not await indexing.has_changed()
        await indexing.write([new_file("a.py")], None)
        assert await indexing.has_changed()
    async with code.indexing("r") as indexing:
        assert await indexing.has_changed()
        await indexing.commit()
    [facts] = await code.repositories("", 10)
    assert not facts.changed
    assert facts.commit_time is not None
    assert facts.commit_time >= facts.create_time


async def test_a_repository_goes_with_all_it_has(code: CodeRepository) -> None:
    one, other = new_chunk("r", "a.py", "one"), new_chunk("other", "a.py", "one")
    await write(code, "r", new_file("a.py", one), new_file("b.py"))
    await write(code, "other", new_file("a.py", other))
    async with code.indexing("r") as indexing:
        await indexing.commit()
        assert await indexing.forget_commit() == CodeCounts(2, 1)
        assert await indexing.has_changed()
        await indexing.delete()
        assert await indexing.forget_commit() is None
    assert await chunks_of(code, one, other) == [None, other.chunk]
    assert [one.name for one in await code.repositories("", 10)] == ["other"]


async def test_only_one_may_change_a_repository(code: CodeRepository) -> None:
    async with code.indexing("r"):
        with pytest.raises(AbortedError):
            async with code.indexing("r"):
                pass
        async with code.indexing("other"):
            pass
    async with code.indexing("r"):
        pass


async def test_lists_are_in_the_order_of_bytes(code: CodeRepository) -> None:
    paths = ["a.py", "a/b.py", "B.py", "ä.py", "a-b.py", "a_b.py", "a%b.py"]
    await write(code, "r", *(new_file(path) for path in paths), spaces=None)
    for name in ("b", "B", "_", "a-b"):
        await write(code, name, new_file("x.py"), spaces=None)

    assert [one.path for one in await code.files("r", ALL, "", 10)] == sorted(paths, key=str.encode)
    assert [one.path for one in await code.files("r", ALL, "a.py", 2)] == ["a/b.py", "a_b.py"]
    for text, found in [("a_", ["a_b.py"]), ("a%", ["a%b.py"]), ("*.py", 6), ("a/**", ["a/b.py"]), ("[ä]*", ["ä.py"])]:
        listed = [one.path for one in await code.files("r", path_filter(text), "", 10)]
        assert (len(listed) if isinstance(found, int) else listed) == found
    assert [one.name for one in await code.repositories("", 10)] == ["B", "_", "a-b", "b", "r"]
    assert [one.name for one in await code.repositories("_", 2)] == ["a-b", "b"]


async def test_a_repository_is_known_from_its_first_file_to_its_end(code: CodeRepository) -> None:
    assert not await code.is_known("r")
    await write(code, "r", new_file("a.py"), spaces=None)
    assert await code.is_known("r")
    assert not await code.is_known("R")
    async with code.indexing("r") as indexing:
        await indexing.delete()
    assert not await code.is_known("r")
