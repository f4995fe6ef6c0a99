"""What is kept of code: repositories, files, one chunk; and its end."""

import hashlib
import json
from dataclasses import dataclass

from servicekit.errors import InvalidArgumentError
from store.code.path_filter import PathFilter, path_filter
from store.code.paths import LONGEST_PATH, accept_repository
from store.code.source import StoredChunk
from store.code.stored import CodeRepositoryFacts, SourceFile
from store.errors import ChunkNotFoundError, RepositoryNotFoundError
from store.graph import CODE_NAMESPACE
from store.repositories.code import CodeCounts, CodeRepository
from store.repositories.graph import GraphRepository
from store.use_cases.event_rules import accept_id, accept_page_size
from store.use_cases.indexing_room import IndexingRoom
from store.use_cases.page_bytes import PAGE_BYTES
from store.use_cases.page_tokens import as_bytes, as_text, not_ours

#: Characters of a token: a path in JSON, twice escaped, in base64, and a seal.
_LONGEST_TOKEN = 10 * LONGEST_PATH

#: Files read at a time: a page of long paths must not fill the memory before it is cut.
_READ = 1000


@dataclass(frozen=True, slots=True)
class RepositoryPage:
    """Repositories by name, and the token of the next page; empty on the last one."""

    repositories: list[CodeRepositoryFacts]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class FilePage:
    """Files by path, and the token of the next page; empty on the last one."""

    files: list[SourceFile]
    next_page_token: str


class ListRepositories:
    """Lists repositories by name, so that changes between two pages make nothing come twice or get lost."""

    def __init__(self, code: CodeRepository) -> None:
        self._code = code

    async def run(self, page_size: int, page_token: str) -> RepositoryPage:
        """One page. Raises InvalidArgumentError for `page_size` and `page_token`."""
        size = accept_page_size(page_size, default=50, most=1000)
        after = _opened(page_token, "") if page_token else ""
        found = await self._code.repositories(after, size + 1)
        more = len(found) > size
        return RepositoryPage(found[:size], _sealed(found[size - 1].name, "") if more else "")


class ListFiles:
    """Lists files by path, in the same way."""

    def __init__(self, code: CodeRepository) -> None:
        self._code = code

    async def run(self, repository: str, path: str, page_size: int, page_token: str) -> FilePage:
        """One page. Raises InvalidArgumentError for `repository`, `path`, `page_size` and `page_token`."""
        accept_repository(repository)
        size = accept_page_size(page_size, default=1000, most=10_000)
        matching: PathFilter = path_filter(path)
        sealing = f"{repository}\x00{path}"
        after = _opened(page_token, sealing) if page_token else ""
        files: list[SourceFile] = []
        room = PAGE_BYTES
        while True:
            wanted = min(size + 1 - len(files), _READ)
            found = await self._code.files(repository, matching, after, wanted)
            for file in found:
                room -= _bytes_of(file)
                if len(files) == size or (files and room < 0):  # there is more than this page holds
                    return FilePage(files, _sealed(files[-1].path, sealing))
                files.append(file)
            if len(found) < wanted:
                return FilePage(files, "")
            after = files[-1].path


class GetChunk:
    """Finds a chunk by its id."""

    def __init__(self, code: CodeRepository) -> None:
        self._code = code

    async def run(self, chunk_id: str) -> StoredChunk:
        """The chunk. Raises InvalidArgumentError for `id`, and ChunkNotFoundError."""
        wanted = accept_id("id", chunk_id)
        found = await self._code.chunk(wanted)
        if found is None:
            raise ChunkNotFoundError(wanted)
        return found


class DeleteRepository:
    """Deletes a repository with its graph."""

    def __init__(self, code: CodeRepository, graph: GraphRepository, room: IndexingRoom) -> None:
        self._code = code
        self._graph = graph
        self._room = room

    async def run(self, repository: str) -> CodeCounts:
        """What was deleted. Raises InvalidArgumentError for `repository`, RepositoryNotFoundError, AbortedError,
        ResourceExhaustedError.

        The graph goes first: whatever breaks this off, the repository is still there to be deleted, or committed.
        """
        accept_repository(repository)
        if not await self._code.is_known(repository):  # costs no connection of its own
            raise RepositoryNotFoundError(repository)
        with self._room.place():
            return await self._delete(repository)

    async def _delete(self, repository: str) -> CodeCounts:
        async with self._code.indexing(repository) as indexing:
            counts = await indexing.forget_commit()
            if counts is None:
                raise RepositoryNotFoundError(repository)
            await self._graph.delete_namespace(CODE_NAMESPACE + repository)
            await indexing.delete()
        return counts


def _bytes_of(file: SourceFile) -> int:
    """At least what a file has in an answer: hash, times, counts and tags, and what is as long as it is."""
    return 160 + sum(len(text.encode()) for text in (file.path, file.language, file.note))


def _sealed(after: str, sealing: str) -> str:
    return as_text(json.dumps([after, _seal(sealing)], ensure_ascii=False, separators=(",", ":")).encode())


def _opened(token: str, sealing: str) -> str:
    try:
        match json.loads(as_bytes(token, _LONGEST_TOKEN)):
            case [str(after), str(seal)] if "\x00" not in after and after.encode():
                if seal != _seal(sealing):
                    raise InvalidArgumentError("page_token", "belongs to a call with other filters")
                return after
    except (ValueError, RecursionError):
        pass
    raise not_ours()


def _seal(sealing: str) -> str:
    return hashlib.sha256(sealing.encode()).hexdigest()[:16]
