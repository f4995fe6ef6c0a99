"""A store that code is indexed into, with everything behind it, and calls to it that are timed."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.support.children import PATIENCE_SECONDS, server
from benchmarks.support.library import Place
from benchmarks.support.models import minilm
from deploy.local.postgres import running_postgres
from store import migrate
from trimem.store.v1 import code_service_pb2 as pb
from trimem.store.v1 import code_service_pb2_grpc, graph_service_pb2_grpc
from trimem.store.v1 import graph_service_pb2 as graph_pb

_OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
_LONGEST_CALL = 4 * 3600


@dataclass(frozen=True, slots=True)
class CodeParty:
    """What is asked."""

    code: "code_service_pb2_grpc.CodeServiceAsyncStub"
    graph: "graph_service_pb2_grpc.GraphServiceAsyncStub"
    console: Console

    async def index(
        self, repository: str, contents: Mapping[str, bytes], title: str
    ) -> tuple[float, pb.IndexFilesResponse]:
        """Index files, and say how many seconds that took.

        The store reads no faster than it writes: the bar tells the truth.
        """
        begun = time.perf_counter()
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        ) as progress:
            task = progress.add_task(title, total=len(contents))

            async def messages() -> AsyncIterator[pb.IndexFilesRequest]:
                for path, content in contents.items():
                    yield pb.IndexFilesRequest(repository=repository, file=pb.FileContent(path=path, content=content))
                    progress.advance(task)
                yield pb.IndexFilesRequest(repository=repository, commit=pb.Commit())

            answer = await self.code.IndexFiles(messages(), timeout=_LONGEST_CALL)
        return time.perf_counter() - begun, answer

    async def search(
        self, query: str, mode: str, repository: str, page_size: int = 10
    ) -> tuple[float, list[set[Place]]]:
        """Milliseconds that a search takes, and which definitions each hit is of."""
        request = pb.SearchCodeRequest(
            query=query,
            mode=pb.CodeSearchMode.Value(f"CODE_SEARCH_MODE_{mode}"),
            repository=repository,
            page_size=page_size,
        )
        begun = time.perf_counter()
        answer = await self.code.SearchCode(request, timeout=60)
        took = (time.perf_counter() - begun) * 1000
        if answer.degraded:
            raise RuntimeError(f"not a full answer to {query!r}")
        return took, [places(hit.chunk) for hit in answer.hits]

    async def nodes(self, repository: str, *types: str, called: str = "") -> AsyncIterator[graph_pb.Node]:
        """All nodes of some types; of one label, if one is given."""
        request = graph_pb.SearchNodesRequest(query=called, namespace=f"code/{repository}", types=types, page_size=1000)
        while True:
            answer = await self.graph.SearchNodes(request, timeout=60)
            for node in answer.nodes:
                if not called or node.label == called:
                    yield node
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token


def places(chunk: pb.CodeChunk) -> set[Place]:
    """The definitions that begin in a chunk, and the one that it is a part of."""
    return {(chunk.path, name) for name in (*chunk.symbols, chunk.qualified_name) if name}


def rank_of(answers: frozenset[Place], found: Sequence[set[Place]]) -> int:
    """The place of the first hit that is an answer, from 1; 0 when none is."""
    return next((place for place, hit in enumerate(found, 1) if hit & answers), 0)


@asynccontextmanager
async def code_party(console: Console, *, mock: bool = False) -> AsyncIterator[CodeParty]:
    """A PostgreSQL, an embedder with the packaged model for both domains, and a store with default settings.

    With `mock` vectors are hashed words, which cost nothing and know nothing of meaning.
    """
    model = {
        "EMBEDDING_MODEL": minilm().reference,
        "EMBEDDING_DIMENSION": str(minilm().dimension),
        "CODE_EMBEDDING_MODEL": minilm().reference,
        "CODE_EMBEDDING_DIMENSION": str(minilm().dimension),
        "EMBEDDING_MODE": "mock" if mock else "real",
    }
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="trimem-postgres-"))
        local = await stack.enter_async_context(running_postgres(Path(folder), forward=lambda _name, _line: None))
        url = await local.create_database("code")
        await asyncio.to_thread(migrate.upgrade, migrate.MigrationPlan(url=url, dimension=minilm().dimension))
        embedder = await stack.enter_async_context(server("embedder", **model))
        store = await stack.enter_async_context(
            server(
                "store",
                DATABASE_URL=url,
                EMBEDDER_TARGET=embedder.address,
                EMBEDDING_DIMENSION=model["EMBEDDING_DIMENSION"],
            )
        )
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(store.address, options=_OPTIONS))
        party = CodeParty(
            code_service_pb2_grpc.CodeServiceStub(channel), graph_service_pb2_grpc.GraphServiceStub(channel), console
        )
        await _ready(party)
        yield party


async def _ready(party: CodeParty) -> None:
    """Wait for the store to have its database, and for the embedder to have its models."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await party.search("?", "CODE", "")
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.2)
            else:
                return
