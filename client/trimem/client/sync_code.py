"""What a client does with code. Made by `client/generate.py`."""

from collections.abc import Callable, Generator
from typing import Unpack

from trimem.client import code_calls as calls
from trimem.client import wire_sync as wire
from trimem.client.code_types import (
    CodeChunk,
    CodeSearchPage,
    DeletedRepository,
    FileToIndex,
    IndexResult,
    Repository,
    SourceFile,
)
from trimem.client.indexing import Indexing
from trimem.client.options import CodeSearchOptions
from trimem.client.sync_calls import BATCH_TIMEOUT, Calls


class CodeCalls(Calls):
    """Source files of repositories, and what is found in them."""

    def index_files(
        self,
        repository: str,
        files: wire.Source[FileToIndex],
        *,
        commit: bool = True,
        keep_others: bool = False,
        on_progress: Callable[[IndexResult], None] | None = None,
        timeout: float = BATCH_TIMEOUT,
    ) -> IndexResult:
        """Store any number of files of a repository, each its path and content, or that it is unchanged.

        In the end, files of the repository that were not among them are deleted (unless `keep_others`), and calls and
        imports are resolved; without `commit` neither. A file that cannot be stored stops no other, keeps its older
        content, and is in the result with its reason. Files are read no faster than they are stored, a few dozen ahead.
        `timeout` is for each call of some files, `on_progress` is called after each with the result so far.

        What concerns all files raises. What is stored then stays: indexing again costs nothing for it, and less when
        files that `list_files` has are given as UnchangedFile. Files that had to be sent again because an answer was
        lost count as unchanged.
        """
        indexing = Indexing(repository, keep_others=keep_others)

        for file in wire.each(files):
            full = indexing.take(file, timeout)
            if full is not None:
                indexing.settle(self._run(full))
                if on_progress is not None:
                    on_progress(indexing.result)
        for call in indexing.rest(commit=commit, timeout=timeout):
            indexing.settle(self._run(call))
            if on_progress is not None:
                on_progress(indexing.result)
        return indexing.result

    def delete_repository(self, repository: str, *, timeout: float = BATCH_TIMEOUT) -> DeletedRepository:
        """Remove all files and chunks, and the graph, of a repository. Raises NotFoundError."""
        return self._run(calls.delete_repository(repository, timeout))

    def list_repositories(self, *, timeout: float | None = None) -> Generator[Repository, None, None]:
        """All repositories, by name. `timeout` is for each page."""
        return self._pages(lambda token: calls.list_repositories(token, self._time(timeout)))

    def list_files(
        self, repository: str, *, path: str = "", timeout: float | None = None
    ) -> Generator[SourceFile, None, None]:
        """All files of a repository, by path; none of one that is not known. `timeout` is for each page.

        `path` is what their paths begin with, or a pattern as of `search_code`.
        """
        return self._pages(lambda token: calls.list_files(repository, path, token, self._time(timeout)))

    def get_chunk(self, chunk_id: str, *, timeout: float | None = None) -> CodeChunk:
        """The chunk with this id. Raises NotFoundError."""
        return self._run(calls.get_chunk(chunk_id, self._time(timeout)))

    def search_code(
        self, query: str, *, page_token: str = "", timeout: float | None = None, **options: Unpack[CodeSearchOptions]
    ) -> CodeSearchPage:
        """The chunks that match a question, a name or a piece of code best, one page of them."""
        return self._run(calls.search_code(query, page_token, self._time(timeout), options))

    def search_code_pages(
        self, query: str, *, timeout: float | None = None, **options: Unpack[CodeSearchOptions]
    ) -> Generator[CodeSearchPage, None, None]:
        """All pages of a search, at most 200 hits. `timeout` is for each page."""
        token, more = "", True
        while more:
            page = self.search_code(query, page_token=token, timeout=timeout, **options)
            yield page
            token = page.next_page_token
            more = bool(token)
