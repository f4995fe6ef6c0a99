"""Messages of CodeService as dataclasses."""

from trimem.client.code_types import (
    CodeChunk,
    CodeHit,
    CodeKind,
    CodeSearchMode,
    CodeSearchPage,
    CutMethod,
    DeletedRepository,
    FileResult,
    Repository,
    Snippet,
    SourceFile,
)
from trimem.client.conversion import time_of
from trimem.client.enums import member_of
from trimem.client.statuses import error_of_status
from trimem.store.v1 import code_service_pb2 as pb


def repository_of(message: pb.Repository) -> Repository:
    """What is kept of a repository."""
    return Repository(
        name=message.name,
        files=message.file_count,
        chunks=message.chunk_count,
        has_uncommitted_changes=message.has_uncommitted_changes,
        create_time=time_of(message.create_time),
        commit_time=time_of(message.commit_time) if message.HasField("commit_time") else None,
    )


def deleted_of(message: pb.DeleteRepositoryResponse) -> DeletedRepository:
    """What was removed with a repository."""
    return DeletedRepository(files=message.file_count, chunks=message.chunk_count)


def file_of(message: pb.SourceFile) -> SourceFile:
    """A file as it is kept."""
    return SourceFile(
        path=message.path,
        content_hash=message.content_hash,
        language=message.language,
        size_bytes=message.size_bytes,
        lines=message.line_count,
        chunks=message.chunk_count,
        cut_method=member_of(CutMethod, pb.CutMethod, message.cut_method),
        note=message.note,
        update_time=time_of(message.update_time),
    )


def result_of(message: pb.FileResult) -> FileResult:
    """What became of a file."""
    return FileResult(
        path=message.path,
        error=error_of_status(message.error) if message.HasField("error") else None,
        cut_method=member_of(CutMethod, pb.CutMethod, message.cut_method),
        note=message.note,
    )


def chunk_of(message: pb.CodeChunk) -> CodeChunk:
    """A piece of a file."""
    return CodeChunk(
        id=message.id,
        repository=message.repository,
        path=message.path,
        language=message.language,
        kind=member_of(CodeKind, pb.CodeKind, message.kind),
        name=message.name,
        qualified_name=message.qualified_name,
        parent=message.parent,
        signature=message.signature,
        docstring=message.docstring,
        start_line=message.start_line,
        end_line=message.end_line,
        start_byte=message.start_byte,
        end_byte=message.end_byte,
        content=message.content,
        imports=tuple(message.imports),
        parameters=tuple(message.parameters),
        decorators=tuple(message.decorators),
        complexity=message.complexity,
        symbols=tuple(message.symbols),
        embedding_error=message.embedding_error,
        file_content_hash=message.file_content_hash,
    )


def code_search_page_of(message: pb.SearchCodeResponse) -> CodeSearchPage:
    """A page of hits."""
    return CodeSearchPage(
        hits=tuple(_hit_of(hit) for hit in message.hits),
        mode=member_of(CodeSearchMode, pb.CodeSearchMode, message.mode),
        complete=message.complete,
        degraded=message.degraded,
        next_page_token=message.next_page_token,
    )


def _hit_of(message: pb.CodeHit) -> CodeHit:
    snippet = message.snippet
    return CodeHit(
        chunk=chunk_of(message.chunk),
        score=message.score,
        code_similarity=message.code_similarity,
        text_similarity=message.text_similarity,
        names_score=message.names_score,
        snippet=Snippet(
            start_line=snippet.start_line,
            lines=tuple(snippet.lines),
            matching_lines=tuple(snippet.matching_lines),
        ),
    )
