"""CodeService: messages in, use cases, messages out."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from servicekit.streams import complete
from store.servicers.code_conversion import chunk_message, file_message, index_item, index_message, repository_message
from store.servicers.code_search_conversion import code_search_message, code_search_of
from store.use_cases.code_listing import DeleteRepository, GetChunk, ListFiles, ListRepositories
from store.use_cases.index_files import IndexFiles
from store.use_cases.index_items import IndexItem
from store.use_cases.search_code import SearchCode
from trimem.store.v1 import code_service_pb2 as pb
from trimem.store.v1 import code_service_pb2_grpc as rpc


@dataclass(frozen=True, slots=True)
class CodeUseCases:
    """What the calls do."""

    index: IndexFiles
    delete: DeleteRepository
    repositories: ListRepositories
    files: ListFiles
    chunk: GetChunk
    search: SearchCode


class CodeServicer(rpc.CodeServiceServicer):
    """Thin on purpose: what a call does is in its use case."""

    def __init__(self, use_cases: CodeUseCases) -> None:
        self._do = use_cases

    async def IndexFiles(self, requests: AsyncIterator[pb.IndexFilesRequest], context: Any) -> pb.IndexFilesResponse:
        """See code_service.proto."""
        return index_message(await self._do.index.run(_items(complete(requests, context.cancelled))))

    async def DeleteRepository(self, request: pb.DeleteRepositoryRequest, _context: Any) -> pb.DeleteRepositoryResponse:
        """See code_service.proto."""
        counts = await self._do.delete.run(request.repository)
        return pb.DeleteRepositoryResponse(file_count=counts.files, chunk_count=counts.chunks)

    async def ListRepositories(self, request: pb.ListRepositoriesRequest, _context: Any) -> pb.ListRepositoriesResponse:
        """See code_service.proto."""
        page = await self._do.repositories.run(request.page_size, request.page_token)
        return pb.ListRepositoriesResponse(
            repositories=[repository_message(one) for one in page.repositories], next_page_token=page.next_page_token
        )

    async def ListFiles(self, request: pb.ListFilesRequest, _context: Any) -> pb.ListFilesResponse:
        """See code_service.proto."""
        page = await self._do.files.run(request.repository, request.path, request.page_size, request.page_token)
        return pb.ListFilesResponse(
            files=[file_message(one) for one in page.files], next_page_token=page.next_page_token
        )

    async def GetChunk(self, request: pb.GetChunkRequest, _context: Any) -> pb.GetChunkResponse:
        """See code_service.proto."""
        return pb.GetChunkResponse(chunk=chunk_message(await self._do.chunk.run(request.id)))

    async def SearchCode(self, request: pb.SearchCodeRequest, _context: Any) -> pb.SearchCodeResponse:
        """See code_service.proto."""
        return code_search_message(await self._do.search.run(code_search_of(request)))


async def _items(requests: AsyncIterator[pb.IndexFilesRequest]) -> AsyncIterator[IndexItem]:
    async for request in requests:
        yield index_item(request)
