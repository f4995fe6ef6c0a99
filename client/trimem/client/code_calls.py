"""What each method about code sends, and how its answer is read; `indexing.py` has the sending of files."""

from trimem.client import code_conversion as conversion
from trimem.client.calls import Call
from trimem.client.code_types import (
    CodeChunk,
    CodeSearchPage,
    DeletedRepository,
    Repository,
    SourceFile,
)
from trimem.client.enums import number_of
from trimem.client.errors import NotFoundError, TrimemError
from trimem.client.options import CodeSearchOptions
from trimem.store.v1 import code_service_pb2 as pb

#: Of a page of a list, of which all pages are wanted.
_FILES_PAGE = 5_000
_REPOSITORIES_PAGE = 1_000


def delete_repository(repository: str, timeout: float) -> Call[DeletedRepository]:
    """DeleteRepository."""

    def gone(error: TrimemError, attempt: int) -> DeletedRepository:
        # The attempt before, whose answer got lost, has deleted it.
        if not (isinstance(error, NotFoundError) and attempt > 1):
            raise error
        return DeletedRepository(files=0, chunks=0)

    request = pb.DeleteRepositoryRequest(repository=repository)
    return Call("DeleteRepository", request, conversion.deleted_of, timeout, gone)


def list_repositories(page_token: str, timeout: float) -> Call[tuple[list[Repository], str]]:
    """One page of ListRepositories, and the token of the next one."""
    request = pb.ListRepositoriesRequest(page_size=_REPOSITORIES_PAGE, page_token=page_token)

    def read(answer: pb.ListRepositoriesResponse) -> tuple[list[Repository], str]:
        return [conversion.repository_of(one) for one in answer.repositories], answer.next_page_token

    return Call("ListRepositories", request, read, timeout)


def list_files(repository: str, path: str, page_token: str, timeout: float) -> Call[tuple[list[SourceFile], str]]:
    """One page of ListFiles, and the token of the next one."""
    request = pb.ListFilesRequest(repository=repository, path=path, page_size=_FILES_PAGE, page_token=page_token)

    def read(answer: pb.ListFilesResponse) -> tuple[list[SourceFile], str]:
        return [conversion.file_of(one) for one in answer.files], answer.next_page_token

    return Call("ListFiles", request, read, timeout)


def get_chunk(chunk_id: str, timeout: float) -> Call[CodeChunk]:
    """GetChunk."""
    return Call("GetChunk", pb.GetChunkRequest(id=chunk_id), lambda answer: conversion.chunk_of(answer.chunk), timeout)


def search_code(query: str, page_token: str, timeout: float, options: CodeSearchOptions) -> Call[CodeSearchPage]:
    """One page of SearchCode."""
    request = pb.SearchCodeRequest(
        query=query,
        mode=number_of(pb.CodeSearchMode, options.get("mode")),
        repository=options.get("repository", ""),
        path=options.get("path", ""),
        languages=options.get("languages", ()),
        kinds=[number_of(pb.CodeKind, kind) for kind in options.get("kinds", ())],
        page_size=options.get("page_size", 0),
        page_token=page_token,
    )
    return Call("SearchCode", request, conversion.code_search_page_of, timeout)
