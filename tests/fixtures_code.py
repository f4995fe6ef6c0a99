"""Source files for tests, and calls of CodeService with them."""

from collections.abc import Mapping

from tests.fixtures_store import StoreUnderTest
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import code_service_pb2 as pb

REPOSITORY = "acme/backend"

COMMIT = pb.IndexFilesRequest(commit=pb.Commit())
KEEPING = pb.IndexFilesRequest(commit=pb.Commit(keep_others=True))


def file(path: str, content: bytes | str, repository: str = "") -> pb.IndexFilesRequest:
    """A message with a file."""
    raw = content.encode() if isinstance(content, str) else content
    return pb.IndexFilesRequest(repository=repository, file=pb.FileContent(path=path, content=raw))


def unchanged(path: str, content_hash: str) -> pb.IndexFilesRequest:
    """A message that names a stored file."""
    return pb.IndexFilesRequest(unchanged=pb.FileUnchanged(path=path, content_hash=content_hash))


def function(name: str, *, lines: int = 12) -> str:
    """A Python function that is a chunk of its own: more than 200 characters, and not so many that it is cut."""
    body = "\n".join(f"    {name}_{n} = compute_{name}(value, {n}) + other_{name}_{n}" for n in range(lines))
    return f'def {name}(value):\n    """Says what {name} is."""\n{body}\n    return {name}_0\n'


def module(*names: str) -> str:
    """A Python file of such functions."""
    return "\n\n".join(function(name) for name in names)


async def index(
    store: StoreUnderTest,
    files: Mapping[str, str | bytes],
    *more: pb.IndexFilesRequest,
    repository: str = REPOSITORY,
) -> pb.IndexFilesResponse:
    """Index these files, then send what follows."""
    messages = [file(path, content) for path, content in files.items()]
    messages += [pb.IndexFilesRequest.FromString(one.SerializeToString()) for one in more]
    messages[0].repository = repository
    return await store.code.IndexFiles(iter(messages))


async def paths(store: StoreUnderTest, repository: str = REPOSITORY) -> list[str]:
    """The paths of a repository's files."""
    return [one.path for one in (await store.code.ListFiles(pb.ListFilesRequest(repository=repository))).files]


def embedded(store: StoreUnderTest) -> tuple[list[str], list[str]]:
    """What the TEXT model and the CODE model have been asked since the last look."""
    texts = store.embedder.inputs(embedding_pb2.DOMAIN_TEXT)
    codes = store.embedder.inputs(embedding_pb2.DOMAIN_CODE)
    store.embedder.calls.clear()
    store.embedder.domains.clear()
    return texts, codes
