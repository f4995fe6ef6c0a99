"""Files of a repository in calls of bounded size, and a last one that names them all and commits."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256

from google.rpc import status_pb2

from trimem.client.calls import Call
from trimem.client.code_conversion import result_of
from trimem.client.code_types import FileResult, FileToIndex, IndexResult, UnchangedFile
from trimem.client.errors import FieldViolation, InvalidArgumentError, ResourceExhaustedError, TrimemError
from trimem.store.v1 import code_service_pb2 as pb

#: Files of a call, unless their bytes are too many before: some four hundred chunks, which large models on a small
#: machine embed within the timeout of a call, and the silence that a gateway bears; and little to do again.
MOST_FILES = 64
MOST_BYTES = 384 * 1024

#: Files that are named in a result.
MOST_RESULTS = 1_000

Answer = pb.IndexFilesResponse


class Indexing:
    """One run over a repository: the calls that it takes, in order, and what has come of them."""

    def __init__(self, repository: str, *, keep_others: bool) -> None:
        self._repository = repository
        self._keep_others = keep_others
        self._batch = FileBatch(repository)
        #: Hashes by path of all files, for the last call.
        self._named: dict[str, str] = {}
        #: Files that are not sent at all: the last call does not count them.
        self._refused = 0
        self.result = IndexResult()

    def take(self, file: FileToIndex, timeout: float) -> Call[Answer] | None:
        """Take a file. Returns the call of those before when it does not fit beside them."""
        if isinstance(file, UnchangedFile):
            if self._accepts(file.path):
                self._named[file.path] = file.content_hash
                self.result = replace(self.result, unchanged=self.result.unchanged + 1)
            return None
        path, content = file
        if not self._accepts(path):
            return None
        self._named[path] = sha256(content).hexdigest()
        if self._batch.add(path, content):
            return None
        full, self._batch = self._batch, FileBatch(self._repository)
        self._batch.add(path, content)
        return full.call(timeout)

    def rest(self, *, commit: bool, timeout: float) -> Iterator[Call[Answer]]:
        """The calls that are left. Settle each before the next one is taken."""
        if len(self._batch):
            yield self._batch.call(timeout)
        if commit:
            requests = Naming(self._repository, self._named, keep_others=self._keep_others)
            yield Call("IndexFiles", requests, self._read_commit, timeout, has_one_answer=True)

    def settle(self, answer: Answer) -> None:
        """Count what became of the files of a call."""
        so_far = self.result
        known = {result.path for result in so_far.results if result.error is not None}
        news = [result_of(one) for one in answer.results if one.path not in known]
        self.result = replace(
            so_far,
            stored=so_far.stored + answer.stored_count,
            unchanged=so_far.unchanged + answer.unchanged_count,
            deleted=so_far.deleted + answer.deleted_count,
            failed=so_far.failed + answer.failed_count,
            chunks=so_far.chunks + answer.chunk_count,
            embedded=so_far.embedded + answer.embedded_count,
            nodes=answer.node_count,
            edges=answer.edge_count,
            results=_most(*so_far.results, *news),
        )

    def _read_commit(self, answer: Answer) -> Answer:
        """The last answer less what the others told: it counts every file, the stored ones as unchanged."""
        so_far = self.result
        own = Answer()
        own.CopyFrom(answer)
        own.unchanged_count = answer.unchanged_count - so_far.stored - so_far.unchanged
        own.failed_count = answer.failed_count - (so_far.failed - self._refused)
        return own

    def _accepts(self, path: str) -> bool:
        """Whether a file can be sent; if not, that is a result. Of two with one path the first counts."""
        description = ""
        try:
            path.encode()
        except UnicodeEncodeError:
            path = path.encode(errors="replace").decode()
            description = "has half of a surrogate pair, which is not a character"
        if path in self._named:
            description = "is that of a file before"
        if description:
            error = InvalidArgumentError(f"path: {description}", violations=[FieldViolation("path", description)])
            refused = FileResult(path=path, error=error, cut_method=None, note="")
            self._refused += 1
            self.result = replace(
                self.result,
                failed=self.result.failed + 1,
                results=_most(*self.result.results, refused),
            )
        return not description


def _most(*results: FileResult) -> tuple[FileResult, ...]:
    """As many as are kept: what failed before what is only remarkable."""
    return tuple(sorted(results, key=lambda one: one.error is None)[:MOST_RESULTS])


class FileBatch:
    """Files on their way into one IndexFiles."""

    def __init__(self, repository: str) -> None:
        self._repository = repository
        self._requests: list[pb.IndexFilesRequest] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, path: str, content: bytes) -> bool:
        """Take a file; False when it belongs into the next batch."""
        size = len(path) + len(content)
        if len(self) == MOST_FILES or (self._requests and self._bytes + size > MOST_BYTES):
            return False
        repository = "" if self._requests else self._repository
        self._requests.append(
            pb.IndexFilesRequest(repository=repository, file=pb.FileContent(path=path, content=content))
        )
        self._bytes += size
        return True

    def call(self, timeout: float) -> Call[Answer]:
        """The call that stores them."""
        return Call("IndexFiles", self._requests, lambda answer: answer, timeout, self._settle, has_one_answer=True)

    def _settle(self, error: TrimemError, _attempt: int) -> Answer:
        """A file that is larger than the server takes fails alone, and stops no other."""
        is_too_large = isinstance(error, ResourceExhaustedError) and error.retry_after is None
        if not (is_too_large and len(self) == 1):
            raise error
        status = status_pb2.Status(code=error.code.value[0], message=error.message)
        return Answer(failed_count=1, results=[pb.FileResult(path=self._requests[0].file.path, error=status)])


class Naming:
    """The messages that name all files as they are stored, and commit; made one by one, as there may be many."""

    def __init__(self, repository: str, hashes: Mapping[str, str], *, keep_others: bool) -> None:
        self._repository = repository
        self._hashes = hashes
        self._keep_others = keep_others

    def __iter__(self) -> Iterator[pb.IndexFilesRequest]:
        repository = self._repository
        for path, content_hash in self._hashes.items():
            unchanged = pb.FileUnchanged(path=path, content_hash=content_hash)
            yield pb.IndexFilesRequest(repository=repository, unchanged=unchanged)
            repository = ""
        yield pb.IndexFilesRequest(repository=repository, commit=pb.Commit(keep_others=self._keep_others))
