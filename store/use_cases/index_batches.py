"""Files of a stream on their way in: what they are, then their vectors."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from servicekit import tasks
from servicekit.errors import DeadlineExceededError, FailedPreconditionError, InvalidArgumentError, TrimemError
from store.code.cutting import CUT_VERSION
from store.code.paths import LONGEST_PATH, accept_path
from store.code.stored import CodeSpaces, KnownFile, NewChunk, NewFile, Vectors
from store.errors import CodeSpaceMismatchError
from store.repositories.code import Indexing
from store.spaces import CODE_COLUMN, CODE_TEXT_COLUMN
from store.use_cases.ahead import in_order
from store.use_cases.cutter import Cutter
from store.use_cases.embed_code import CodeInputs, CodeOutcome, EmbedCode
from store.use_cases.index_items import FileContent, FileFate, FileItem
from store.use_cases.prepare_code import PreparedFile, accept_content, prepare_file

#: What is looked up at once: files, and bytes of what they say. A few times as much is in memory.
_READ_FILES = 256
_READ_BYTES = 2 * 1024 * 1024

#: Files of a call that are cut, or wait for it, or have their words found, at once.
_CUT_FILES = 4

#: Seconds without a word after which what was said is stored.
_PAUSE = 0.5
#: Seconds without a word after which a caller is taken for gone: it keeps others out.
_SILENCE = 600.0

#: Chunks that are embedded and written at once, and more when a file has more: some calls of the embedder.
_BATCH_CHUNKS = 256


@dataclass(slots=True)
class Batch:
    """Files next to each other in a stream: some settled, others to be stored."""

    #: Of all of them, in the order of the stream.
    fates: list[FileFate] = field(default_factory=list)
    files: list[NewFile] = field(default_factory=list)
    #: What is to be embedded, by `input_hash`.
    inputs: dict[bytes, CodeInputs] = field(default_factory=dict)
    chunks: int = 0
    spaces: CodeSpaces | None = None
    #: Chunks that got new vectors.
    embedded: int = 0

    def add(self, prepared: PreparedFile) -> None:
        """A file to store."""
        file = prepared.file
        self.files.append(file)
        self.inputs |= prepared.inputs
        self.chunks += len(file.chunks)
        self.fates.append(FileFate(file.path, cut_method=file.method, note=file.note))


async def read_batches(
    items: AsyncIterator[FileItem], indexing: Indexing, settle: "Settle"
) -> AsyncGenerator[Batch, None]:
    """The files of a stream, cut. Content that is stored already is looked up for many of them at once."""
    async with aclosing(_groups(items)) as groups:
        async for group in groups:
            batch = Batch()
            async with aclosing(in_order(await _settling(group, indexing, settle), _CUT_FILES)) as settled:
                async for one in settled:
                    if isinstance(one, FileFate):
                        batch.fates.append(one)
                    else:
                        batch.add(one)
                    if batch.chunks >= _BATCH_CHUNKS:
                        yield batch
                        batch = Batch()
            yield batch


async def embed_batches(
    batches: AsyncGenerator[Batch, None], indexing: Indexing, embed: EmbedCode
) -> AsyncGenerator[Batch, None]:
    """The same, with vectors: those of chunks with equal inputs, and new ones for the others."""
    async with aclosing(batches):
        async for batch in batches:
            if batch.inputs:
                await _embed(batch, indexing, embed)
            yield batch


async def _groups(items: AsyncIterator[FileItem]) -> AsyncGenerator[list[FileItem], None]:
    """Files that are looked up together; few of them when the caller makes a pause."""
    group: list[FileItem] = []
    size = 0
    reading = asyncio.ensure_future(anext(items, None))
    try:
        while True:
            await asyncio.wait([reading], timeout=_PAUSE if group else _SILENCE)
            if not reading.done():
                if not group:
                    raise DeadlineExceededError("no message came for ten minutes")
                yield group
                group, size = [], 0
                continue
            if (item := reading.result()) is None:
                break
            reading = asyncio.ensure_future(anext(items, None))
            group.append(item)
            size += len(item.path) + len(item.content if isinstance(item, FileContent) else item.content_hash)
            if len(group) == _READ_FILES or size >= _READ_BYTES:
                yield group
                group, size = [], 0
    finally:
        await tasks.cancel(reading)
    if group:
        yield group


async def _settling(
    group: Sequence[FileItem], indexing: Indexing, settle: "Settle"
) -> Iterator[Coroutine[Any, Any, FileFate | PreparedFile]]:
    refused = {place: error for place, item in enumerate(group) if (error := _refused_path(item)) is not None}
    paths = {item.path: None for place, item in enumerate(group) if place not in refused}
    unnamed = await indexing.name(list(paths))
    known = await indexing.known(unnamed)

    def settling() -> Iterator[Coroutine[Any, Any, FileFate | PreparedFile]]:
        for place, item in enumerate(group):
            error = refused.get(place)
            if error is None and item.path not in unnamed:
                error = InvalidArgumentError(_path_field(item), "came before in this call")
            unnamed.discard(item.path)
            yield _refusal(item, error) if error is not None else settle(item, known.get(item.path))

    return settling()


async def _refusal(item: FileItem, error: TrimemError) -> FileFate:
    # The path may be as long as a message, and results are kept.
    return FileFate(item.path[:LONGEST_PATH].encode()[:LONGEST_PATH].decode(errors="ignore"), error)


@dataclass(frozen=True, slots=True)
class Settle:
    """What becomes of a file: nothing, when it is stored as it is or is not to be stored."""

    cutter: Cutter
    repository: str
    most_bytes: int

    async def __call__(self, item: FileItem, known: KnownFile | None) -> FileFate | PreparedFile:
        """Its fate, or what is to be stored."""
        if not isinstance(item, FileContent):
            if not item.content_hash:
                return FileFate(item.path, InvalidArgumentError("unchanged.content_hash", "is required"))
            same = (
                known is not None and known.cut_version == CUT_VERSION and known.content_hash.hex() == item.content_hash
            )
            return FileFate(item.path, None if same else _OTHER_CONTENT)
        try:
            accept_content(item.content, self.most_bytes)
        except InvalidArgumentError as error:
            return FileFate(item.path, error)
        if known == KnownFile(hashlib.sha256(item.content).digest(), CUT_VERSION):
            return FileFate(item.path)
        prepared = await prepare_file(self.cutter, self.repository, item.path, item.content)
        return FileFate(item.path, prepared) if isinstance(prepared, TrimemError) else prepared


def _path_field(item: FileItem) -> str:
    return "file.path" if isinstance(item, FileContent) else "unchanged.path"


def _refused_path(item: FileItem) -> InvalidArgumentError | None:
    try:
        accept_path(_path_field(item), item.path)
    except InvalidArgumentError as error:
        return error
    return None


async def _embed(batch: Batch, indexing: Indexing, embed: EmbedCode) -> None:
    known = await indexing.vectors(batch.inputs.keys())
    outcomes: dict[bytes, CodeOutcome] = dict(known.vectors)
    asked = {key: inputs for key, inputs in batch.inputs.items() if key not in outcomes}
    batch.spaces = known.spaces
    if asked:
        done = await embed.run(list(asked.values()))
        outcomes |= dict(zip(asked, done.outcomes, strict=True))
        batch.embedded = sum(isinstance(one, Vectors) for one in done.outcomes)
        batch.spaces = _same(known.spaces, done.spaces)
    batch.inputs.clear()
    batch.files = [_with_vectors(file, outcomes) for file in batch.files]
    fates = {file.path: _without_vectors(file) for file in batch.files}
    batch.fates = [_noted(fate, fates.get(fate.path, "")) for fate in batch.fates]


def _same(known: CodeSpaces | None, made: CodeSpaces | None) -> CodeSpaces | None:
    if known is not None and made is not None:
        for column, one, other in ((CODE_TEXT_COLUMN, known.text, made.text), (CODE_COLUMN, known.code, made.code)):
            if one.fingerprint != other.fingerprint:
                raise CodeSpaceMismatchError(column, one, other)
    return known or made


def _with_vectors(file: NewFile, outcomes: dict[bytes, CodeOutcome]) -> NewFile:
    return replace(file, chunks=tuple(_given(chunk, outcomes[chunk.input_hash]) for chunk in file.chunks))


def _given(chunk: NewChunk, outcome: CodeOutcome) -> NewChunk:
    if isinstance(outcome, Vectors):
        return replace(chunk, vectors=outcome)
    return replace(chunk, embedding_error=outcome)


def _without_vectors(file: NewFile) -> str:
    """What is remarkable about the vectors of a file."""
    errors = [chunk.embedding_error for chunk in file.chunks if chunk.embedding_error is not None]
    return f"{len(errors)} of {len(file.chunks)} chunks without vectors: {errors[0]}" if errors else ""


def _noted(fate: FileFate, note: str) -> FileFate:
    if not note or fate.cut_method is None:
        return fate
    return replace(fate, note="; ".join(one for one in (fate.note, note) if one))


_OTHER_CONTENT = FailedPreconditionError("is not stored with this content_hash: send its content")
