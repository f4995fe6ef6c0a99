"""Files and their chunks into PostgreSQL."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from store.code.stored import CodeSpaces, NewChunk, NewFile
from store.database import Connection
from store.repositories.postgres.code_rows import COLUMNS, DESCRIPTION, description_of, row_of
from store.repositories.postgres.code_spaces import hold_code_spaces
from store.repositories.postgres.rows import Row

NOTE_CHANGE = """
    INSERT INTO code_repositories AS r (repository) VALUES ($1)
    ON CONFLICT (repository) DO UPDATE SET changed = true WHERE NOT r.changed
"""

WRITE_FILE = """
    INSERT INTO code_files (
        repository, path, content_hash, language, size_bytes, line_count, chunk_count, cut_method, cut_version, note,
        outline
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::jsonb)
    ON CONFLICT (repository, path) DO UPDATE
    SET content_hash = excluded.content_hash, language = excluded.language, size_bytes = excluded.size_bytes,
        line_count = excluded.line_count, chunk_count = excluded.chunk_count, cut_method = excluded.cut_method,
        cut_version = excluded.cut_version, note = excluded.note, outline = excluded.outline, update_time = now()
"""

STORED = f"""
    SELECT id, input_hash, embedding_error, {", ".join(DESCRIPTION)} FROM code_chunks
    WHERE repository = $1 AND file_path = ANY($2)
"""

DELETE = "DELETE FROM code_chunks WHERE id = ANY($1)"

UPDATE = f"""
    UPDATE code_chunks
    SET {", ".join(f"{column} = ${place}" for place, column in enumerate(DESCRIPTION, 2))}, update_time = now()
    WHERE id = $1
"""


async def write_files(
    connection: Connection, repository: str, files: Sequence[NewFile], spaces: CodeSpaces | None
) -> None:
    """See Indexing.write; in a transaction.

    A row with vectors that is written anew gets into both HNSW indexes anew: rows that stay right are left alone.
    """
    if spaces is not None:
        await hold_code_spaces(connection, spaces)
    await connection.execute(NOTE_CHANGE, repository)
    await connection.executemany(WRITE_FILE, [_file_row(repository, file) for file in files])
    rows = await connection.fetch(STORED, repository, [file.path for file in files])
    stored = {row["id"]: row for row in rows}
    new = [(file, place, chunk) for file in files for place, chunk in enumerate(file.chunks)]
    kept = {chunk.id for _, _, chunk in new if _stays(stored.get(chunk.id), chunk)}
    if gone := stored.keys() - kept:
        await connection.execute(DELETE, list(gone))
    await _describe(connection, [one for one in new if one[2].id in kept], stored)
    fresh = [row_of(repository, *one) for one in new if one[2].id not in kept]
    if fresh:
        await connection.copy_records_to_table("code_chunks", columns=COLUMNS, records=fresh)


async def _describe(
    connection: Connection, kept: Sequence[tuple[NewFile, int, NewChunk]], stored: dict[UUID, Row]
) -> None:
    """Move what stays to where it is now."""
    changed: list[tuple[Any, ...]] = []
    for file, place, chunk in kept:
        description = description_of(file, place, chunk)
        if description != tuple(stored[chunk.id][column] for column in DESCRIPTION):
            changed.append((chunk.id, *description))
    if changed:
        await connection.executemany(UPDATE, changed)


def _stays(row: Row | None, chunk: NewChunk) -> bool:
    """Whether a row has the vectors of a chunk already."""
    return row is not None and row["input_hash"] == chunk.input_hash and row["embedding_error"] == chunk.embedding_error


def _file_row(repository: str, file: NewFile) -> tuple[Any, ...]:
    return (
        repository,
        file.path,
        file.content_hash,
        file.language,
        file.size,
        file.line_count,
        len(file.chunks),
        file.method.value,
        file.cut_version,
        file.note,
        file.outline,
    )
