"""The files of a folder on their way into the index: those that changed, and the names of the others."""

from collections.abc import Iterable, Iterator, Mapping
from errno import ELOOP, ENOTDIR
from hashlib import sha256

from trimem.client import FileToIndex, IndexResult, TrimemClient, UnchangedFile
from trimem.client.cli.code_progress import Bar
from trimem.client.cli.code_reading import Folder, NotRegularError
from trimem.client.cli.code_walking import Found, Skipped
from trimem.client.cli.failures import UsageProblem, complain

#: What the store would refuse, and keep as it was.
_KEPT = frozenset({Skipped.TOO_LARGE, Skipped.BINARY})

#: Seconds for a call of some files: the gateway's limit ends it before, unless that was raised for slow models.
_TIMEOUT = 3600.0


class Sending:
    """One run over the files that were found."""

    def __init__(self, client: TrimemClient, folder: Folder, repository: str, found: Found, *, most_bytes: int) -> None:
        self._client = client
        self._folder = folder
        self._most_bytes = most_bytes
        #: Files that need not be sent.
        self._passed = 0
        self.repository = repository
        self.found = found
        self.result = IndexResult()
        #: Files that became too large or binary, of which what is stored stays, as when the store refuses one.
        self.kept: set[str] = set()
        #: What is remarkable about stored files, by path.
        self.notes: dict[str, str] = {}
        self.is_done = False
        #: Files that the store refused, as far as they are named.
        self._refused: set[str] = set()

    @property
    def failed(self) -> int:
        """How many files are not stored; a result counts all, and names a bounded number."""
        return len(self.found.problems) + max(self.result.failed - len(self._refused), 0)

    def run(self, bar: Bar, *, commit: bool, keep_others: bool) -> None:
        """Index all files. Raises TrimemError when that cannot go on."""

        def settle(result: IndexResult) -> None:
            self._settle(result)
            self._show(bar)

        for path, problem in self.found.problems.items():
            complain(f"{path}: {problem}")
        known = {file.path: file.content_hash for file in self._client.list_files(self.repository)}
        if known and commit and not (keep_others or self.found.files or self.found.problems):
            raise UsageProblem(
                f"there is nothing to index in {self._folder.path}, and {len(known):,} files are stored as "
                f"{self.repository}: to delete them, use trimem code delete"
            )
        self._settle(
            self._client.index_files(
                self.repository,
                self._files(known, bar),
                commit=commit,
                keep_others=keep_others,
                on_progress=settle,
                timeout=_TIMEOUT,
            )
        )
        self.is_done = True

    def _files(self, known: Mapping[str, str], bar: Bar) -> Iterator[FileToIndex]:
        for path in self.found.files:
            content = self._read(path)
            if content is not None and sha256(content).hexdigest() != known.get(path):
                yield path, content
                continue
            self._passed += 1
            self._show(bar)
            if content is not None or (path in self.found.problems and path in known):
                yield UnchangedFile(path, known[path])
        self.kept = {path for path in known if self.found.skipped.get(path) in _KEPT}
        for path in (*self._unknown(known), *sorted(self.kept)):
            yield UnchangedFile(path, known[path])

    def _unknown(self, known: Iterable[str]) -> Iterator[str]:
        """Stored files that may still be there: what could not be looked at is kept, and all that may be in it."""
        found = self.found
        seen = {*found.files, *found.skipped}
        above = tuple(path.removesuffix("/") + "/" for path in found.problems if path not in seen)
        for path in known:
            if path not in seen and ("/" in above or f"{path}/".startswith(above)):
                yield path

    def _show(self, bar: Bar) -> None:
        bar.show(self._passed + self.result.stored + self.result.failed)

    def _read(self, path: str) -> bytes | None:
        """What is in a file; None when it is not to be sent, which is noted."""
        found = self.found
        try:
            content = self._folder.read(path, self._most_bytes)
        except FileNotFoundError:
            found.skipped[path] = Skipped.VANISHED
            complain(f"{path}: vanished before it was read")
        except NotRegularError:
            found.skipped[path] = Skipped.SPECIAL
        except OSError as error:
            if error.errno in {ELOOP, ENOTDIR}:  # a part of the path became a link after it was found
                found.skipped[path] = Skipped.LINK
            else:
                self._fail(path, f"cannot be read: {error.strerror or error}")
        else:
            if len(content) > self._most_bytes:
                found.skipped[path] = Skipped.TOO_LARGE
            elif b"\0" in content:
                found.skipped[path] = Skipped.BINARY
            else:
                return content
        return None

    def _settle(self, result: IndexResult) -> None:
        self.result = result
        for one in result.results:
            if one.error is not None:
                self._refused.add(one.path)
                if one.path not in self.kept:  # which would have to be cut anew, and cannot be sent
                    self._fail(one.path, one.error.message)
            elif one.note:
                self.notes[one.path] = one.note

    def _fail(self, path: str, reason: str) -> None:
        """Say why a file is not stored, once."""
        if path not in self.found.problems:
            self.found.problems[path] = reason
            complain(f"{path}: {reason}")
