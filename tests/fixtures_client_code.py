"""A code service that keeps files and cuts nothing, for tests of those who call it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import grpc
from google.rpc import status_pb2

from servicekit.errors import NotFoundError, TrimemError
from tests.fixtures_gateway import Fake, backend_server
from tests.fixtures_gateway_code import GRAPH, handlers_of
from trimem.client.calls import SERVICES
from trimem.store.v1 import code_service_pb2 as pb
from trimem.store.v1 import code_service_pb2_grpc


@dataclass
class FakeCode(code_service_pb2_grpc.CodeServiceServicer):
    """Repositories in memory; methods that are not about files are those of a Fake."""

    fake: Fake = field(default_factory=Fake)
    #: Contents by path, by repository.
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    #: Messages of each call of IndexFiles.
    calls: list[list[pb.IndexFilesRequest]] = field(default_factory=list)
    #: How the next calls of IndexFiles fail; None is one that does not.
    failures: list[TrimemError | None] = field(default_factory=list)
    #: Paths that are refused.
    refused: set[str] = field(default_factory=set)
    #: Whether all files would be cut differently by now.
    is_outdated: bool = False
    #: What is remarkable about the others.
    noted: str = ""
    #: What a call of IndexFiles waits for before it answers.
    gate: asyncio.Event | None = None

    async def IndexFiles(self, request_iterator: Any, context: Any) -> Any:
        messages = [message async for message in request_iterator]
        self.calls.append(messages)
        if self.gate is not None:
            await self.gate.wait()
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        kept = self.repositories.setdefault(messages[0].repository, {})
        answer, named = pb.IndexFilesResponse(), set()
        for message in messages:
            match message.WhichOneof("item"):
                case "file":
                    named.add(message.file.path)
                    self._store(kept, message.file, answer)
                case "unchanged":
                    named.add(message.unchanged.path)
                    is_true = message.unchanged.content_hash == hash_of(kept.get(message.unchanged.path))
                    _count(answer, message.unchanged.path, "unchanged_count" if is_true else "")
                case "commit":
                    for path in [] if message.commit.keep_others else kept.keys() - named:
                        del kept[path]
                        answer.deleted_count += 1
                    answer.node_count = answer.edge_count = len(kept)
        return answer

    def _store(self, kept: dict[str, bytes], file: pb.FileContent, answer: pb.IndexFilesResponse) -> None:
        if file.path in self.refused:
            _count(answer, file.path, "")
        elif kept.get(file.path) == file.content:
            _count(answer, file.path, "unchanged_count")
        else:
            kept[file.path] = file.content
            _count(answer, file.path, "stored_count")
            answer.chunk_count += 2
            if self.noted:
                answer.results.add(path=file.path, note=self.noted)
            answer.embedded_count += 1

    async def ListFiles(self, request: Any, context: Any) -> Any:
        found = sorted(self.repositories.get(request.repository, {}).items())
        rest = [(path, content) for path, content in found if path > request.page_token]
        page = rest[: min(request.page_size, 3)]
        files = [
            pb.SourceFile(
                path=path, content_hash=hash_of(None if self.is_outdated else content), size_bytes=len(content)
            )
            for path, content in page
        ]
        return pb.ListFilesResponse(files=files, next_page_token=page[-1][0] if len(page) < len(rest) else "")

    async def ListRepositories(self, request: Any, context: Any) -> Any:
        repositories = [
            pb.Repository(name=name, file_count=len(files)) for name, files in sorted(self.repositories.items())
        ]
        return pb.ListRepositoriesResponse(repositories=repositories)

    async def DeleteRepository(self, request: Any, context: Any) -> Any:
        files = self.repositories.pop(request.repository, None)
        if files is None:
            raise NotFoundError(f"no repository {request.repository}")
        return await self.fake.answer(request, context, pb.DeleteRepositoryResponse(file_count=len(files)))

    async def GetChunk(self, request: Any, context: Any) -> Any:
        return await self.fake.answer(request, context, pb.GetChunkResponse())

    async def SearchCode(self, request: Any, context: Any) -> Any:
        return await self.fake.answer(request, context, pb.SearchCodeResponse())


def hash_of(content: bytes | None) -> str:
    """SHA-256 as the service says it."""
    return "" if content is None else sha256(content).hexdigest()


def _count(answer: pb.IndexFilesResponse, path: str, count: str) -> None:
    if count:
        setattr(answer, count, getattr(answer, count) + 1)
    else:
        answer.failed_count += 1
        error = status_pb2.Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message="file.content: is odd")
        answer.results.append(pb.FileResult(path=path, error=error))


@asynccontextmanager
async def code_services(code: FakeCode) -> AsyncIterator[str]:
    """A server with both services. Yields its target."""

    def add(server: grpc.aio.Server) -> None:
        code_service_pb2_grpc.add_CodeServiceServicer_to_server(code, server)
        server.add_generic_rpc_handlers((handlers_of(GRAPH, code.fake),))

    async with backend_server(*SERVICES, add=add) as (_server, target):
        yield target
