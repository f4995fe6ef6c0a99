"""From the content of a file to what is stored of it, but for its vectors."""

import asyncio
import hashlib
import json
from collections import Counter
from dataclasses import dataclass

import structlog

from servicekit.errors import InternalError, InvalidArgumentError, TrimemError
from store.code.cutting import CUT_VERSION
from store.code.identifiers import names_of, words_of_chunk
from store.code.inputs import code_input, text_input
from store.code.outline_json import outline_to_json
from store.code.source import Chunk, CutFile
from store.code.stored import NewChunk, NewFile, chunk_id
from store.use_cases.cutter import Cutter
from store.use_cases.embed_code import CodeInputs


@dataclass(frozen=True, slots=True)
class PreparedFile:
    """A file without vectors, and what is to be embedded of it, by `input_hash`."""

    file: NewFile
    inputs: dict[bytes, CodeInputs]


def accept_content(content: bytes, most: int) -> None:
    """Raises InvalidArgumentError for what is no source file, or too large a one."""
    if len(content) > most:
        raise InvalidArgumentError("file.content", f"has {len(content)} bytes, and CODE_MAX_FILE_BYTES allows {most}")
    if b"\x00" in content:
        raise InvalidArgumentError("file.content", "is binary: it has a NUL")


async def prepare_file(cutter: Cutter, repository: str, path: str, content: bytes) -> PreparedFile | TrimemError:
    """Cut a file, and find its words; some milliseconds for a usual one. A fault of ours costs that file alone."""
    try:
        done = await cutter.cut(path, content)
        return await asyncio.to_thread(_prepare, repository, path, content, done)
    except TrimemError:  # the same for every file
        raise
    except Exception:
        structlog.get_logger("code").exception("a file cannot be cut", repository=repository, path=path)
        return InternalError("the file cannot be cut: a fault of the store")


def _prepare(repository: str, path: str, content: bytes, done: CutFile) -> PreparedFile:
    inputs: dict[bytes, CodeInputs] = {}
    seen: Counter[str] = Counter()
    chunks: list[NewChunk] = []
    for chunk in done.chunks:
        asked = CodeInputs(text_input(path, chunk), code_input(path, chunk))
        key = _hash(asked)
        inputs[key] = asked
        chunks.append(_new_chunk(repository, path, chunk, seen[chunk.content], key))
        seen[chunk.content] += 1
    file = NewFile(
        path=path,
        content_hash=hashlib.sha256(content).digest(),
        language=done.language,
        size=len(content),
        line_count=done.line_count,
        method=done.method,
        cut_version=CUT_VERSION,
        note=done.note,
        outline=json.dumps(outline_to_json(done.outline), ensure_ascii=False, separators=(",", ":")),
        chunks=tuple(chunks),
    )
    return PreparedFile(file, inputs)


def _new_chunk(repository: str, path: str, chunk: Chunk, number: int, input_hash: bytes) -> NewChunk:
    return NewChunk(
        id=chunk_id(repository, path, chunk.content, number),
        chunk=chunk,
        names=tuple(names_of(path, chunk)),
        words=words_of_chunk(path, chunk),
        input_hash=input_hash,
    )


def _hash(inputs: CodeInputs) -> bytes:
    """Of both, which no other two texts have."""
    text = inputs.text.encode()
    return hashlib.sha256(len(text).to_bytes(8) + text + inputs.code.encode()).digest()
