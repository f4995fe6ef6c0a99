"""Messages of CodeService to dataclasses, and back."""

from servicekit import context
from servicekit.status import to_status
from store.code.cutting import CUT_VERSION
from store.code.source import CodeKind, CutMethod, StoredChunk
from store.code.stored import CodeRepositoryFacts, SourceFile
from store.servicers.conversion import write_time
from store.use_cases.index_items import Commit, FileContent, FileFate, FileUnchanged, IndexItem, IndexSummary
from trimem.store.v1 import code_service_pb2 as pb

KINDS = {kind: pb.CodeKind.Value(f"CODE_KIND_{kind.value}") for kind in CodeKind}
_METHODS = {method: pb.CutMethod.Value(f"CUT_METHOD_{method.value}") for method in CutMethod}


def index_item(request: pb.IndexFilesRequest) -> IndexItem:
    """What a message of a stream says."""
    said: FileContent | FileUnchanged | Commit | None = None
    match request.WhichOneof("item"):
        case "file":
            said = FileContent(request.file.path, request.file.content)
        case "unchanged":
            said = FileUnchanged(request.unchanged.path, request.unchanged.content_hash)
        case "commit":
            said = Commit(request.commit.keep_others)
    return IndexItem(request.repository, said)


def index_message(summary: IndexSummary) -> pb.IndexFilesResponse:
    """What became of all files of a stream."""
    return pb.IndexFilesResponse(
        stored_count=summary.stored,
        unchanged_count=summary.unchanged,
        deleted_count=summary.deleted,
        failed_count=summary.failed,
        chunk_count=summary.chunks,
        embedded_count=summary.embedded,
        node_count=summary.nodes,
        edge_count=summary.edges,
        results=[_result(fate) for fate in summary.results],
    )


def repository_message(facts: CodeRepositoryFacts) -> pb.Repository:
    """A repository for an answer."""
    message = pb.Repository(
        name=facts.name,
        file_count=facts.file_count,
        chunk_count=facts.chunk_count,
        has_uncommitted_changes=facts.changed,
    )
    write_time(facts.create_time, message.create_time)
    if facts.commit_time is not None:
        write_time(facts.commit_time, message.commit_time)
    return message


def file_message(file: SourceFile) -> pb.SourceFile:
    """A file for an answer. One that would be cut differently has no hash, so that it is sent again."""
    message = pb.SourceFile(
        path=file.path,
        content_hash=file.content_hash.hex() if file.cut_version == CUT_VERSION else "",
        language=file.language,
        size_bytes=file.size,
        line_count=file.line_count,
        chunk_count=file.chunk_count,
        cut_method=_METHODS[file.method],
        note=file.note,
    )
    write_time(file.update_time, message.update_time)
    return message


def chunk_message(stored: StoredChunk) -> pb.CodeChunk:
    """A chunk for an answer."""
    message = pb.CodeChunk()
    write_chunk(stored, message)
    return message


def write_chunk(stored: StoredChunk, message: pb.CodeChunk) -> None:
    """Write a chunk into an empty message, in place: protobuf would copy one that is put into an answer."""
    chunk = stored.chunk
    message.id = str(stored.id)
    message.repository = stored.repository
    message.path = stored.path
    message.language = stored.language
    message.kind = KINDS[chunk.kind]
    message.name = chunk.name
    message.qualified_name = chunk.qualified_name
    message.parent = chunk.parent
    message.signature = chunk.signature
    message.docstring = chunk.docstring
    message.start_line = chunk.span.start_line
    message.end_line = chunk.span.end_line
    message.start_byte = chunk.span.start_byte
    message.end_byte = chunk.span.end_byte
    message.content = chunk.content
    message.imports.extend(chunk.imports)
    message.parameters.extend(chunk.parameters)
    message.decorators.extend(chunk.decorators)
    message.complexity = chunk.complexity
    message.symbols.extend(chunk.symbols)
    message.embedding_error = stored.embedding_error
    message.file_content_hash = stored.file_content_hash


def _result(fate: FileFate) -> pb.FileResult:
    message = pb.FileResult(path=fate.path, note=fate.note)
    if fate.error is not None:
        message.error.CopyFrom(to_status(fate.error, context.request_id.get()))
    if fate.cut_method is not None:
        message.cut_method = _METHODS[fate.cut_method]
    return message
