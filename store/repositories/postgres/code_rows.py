"""Code from rows, and into them."""

from typing import Any

from store.code.source import Chunk, CodeKind, CutMethod, Span, StoredChunk
from store.code.stored import CodeRepositoryFacts, NewChunk, NewFile, SourceFile
from store.repositories.postgres.rows import Row

#: What `chunk_of` reads, of `code_chunks c JOIN code_files f`.
CHUNK_COLUMNS = """
    c.id, c.repository, c.file_path, c.language, c.kind, c.name, c.qualified_name, c.parent, c.signature, c.docstring,
    c.start_line, c.end_line, c.start_byte, c.end_byte, c.content, c.metadata, c.embedding_error, f.content_hash
"""
CHUNK_TABLES = "code_chunks c JOIN code_files f ON f.repository = c.repository AND f.path = c.file_path"

#: What may change of a chunk while its id and what is embedded of it stay: `description_of`.
DESCRIPTION = (
    "ordinal",
    "language",
    "kind",
    "name",
    "qualified_name",
    "parent",
    "signature",
    "docstring",
    "start_line",
    "end_line",
    "start_byte",
    "end_byte",
    "metadata",
    "names",
    "terms",
    "term_counts",
    "term_total",
)

#: What is written of a new chunk: `row_of`.
COLUMNS = (
    "id",
    "repository",
    "file_path",
    *DESCRIPTION,
    "content",
    "input_hash",
    "embedding_text",
    "embedding_code",
    "embedding_error",
)


def description_of(file: NewFile, ordinal: int, new: NewChunk) -> tuple[Any, ...]:
    """The values of DESCRIPTION, as they come back from the database."""
    chunk, span, words = new.chunk, new.chunk.span, new.words
    metadata = {
        "imports": list(chunk.imports),
        "parameters": list(chunk.parameters),
        "decorators": list(chunk.decorators),
        "complexity": chunk.complexity,
        "symbols": list(chunk.symbols),
        "kinds": sorted(chunk.kinds),
    }
    return (
        ordinal,
        file.language,
        chunk.kind.value,
        chunk.name,
        chunk.qualified_name,
        chunk.parent,
        chunk.signature,
        chunk.docstring,
        span.start_line,
        span.end_line,
        span.start_byte,
        span.end_byte,
        metadata,
        list(new.names),
        list(words.terms),
        list(words.counts),
        words.total,
    )


def row_of(repository: str, file: NewFile, ordinal: int, new: NewChunk) -> tuple[Any, ...]:
    """The values of COLUMNS."""
    return (
        new.id,
        repository,
        file.path,
        *description_of(file, ordinal, new),
        new.chunk.content,
        new.input_hash,
        None if new.vectors is None else new.vectors.text,
        None if new.vectors is None else new.vectors.code,
        new.embedding_error,
    )


def chunk_of(row: Row) -> StoredChunk:
    """A chunk of CHUNK_COLUMNS."""
    metadata = row["metadata"]
    return StoredChunk(
        id=row["id"],
        repository=row["repository"],
        path=row["file_path"],
        language=row["language"],
        chunk=Chunk(
            kind=CodeKind(row["kind"]),
            span=Span(row["start_byte"], row["end_byte"], row["start_line"], row["end_line"]),
            content=row["content"],
            name=row["name"],
            qualified_name=row["qualified_name"],
            parent=row["parent"],
            signature=row["signature"],
            docstring=row["docstring"],
            imports=tuple(metadata["imports"]),
            parameters=tuple(metadata["parameters"]),
            decorators=tuple(metadata["decorators"]),
            complexity=metadata["complexity"],
            symbols=tuple(metadata["symbols"]),
            kinds=frozenset(map(CodeKind, metadata.get("kinds", ()))),
        ),
        embedding_error=row["embedding_error"] or "",
        file_content_hash=row["content_hash"].hex(),
    )


def file_of(row: Row) -> SourceFile:
    """A file of `code_files`."""
    return SourceFile(
        path=row["path"],
        content_hash=row["content_hash"],
        cut_version=row["cut_version"],
        language=row["language"],
        size=row["size_bytes"],
        line_count=row["line_count"],
        chunk_count=row["chunk_count"],
        method=CutMethod(row["cut_method"]),
        note=row["note"],
        update_time=row["update_time"],
    )


def facts_of(row: Row) -> CodeRepositoryFacts:
    """A row of `code_repositories`, with counts."""
    return CodeRepositoryFacts(
        name=row["repository"],
        file_count=row["files"],
        chunk_count=row["chunks"],
        changed=row["changed"],
        create_time=row["create_time"],
        commit_time=row["commit_time"],
    )
