"""What a stream that indexes a repository says, and what becomes of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from servicekit.errors import TrimemError
from store.code.source import CutMethod

#: Files that the answer names.
MOST_RESULTS = 1000


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file to store."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class FileUnchanged:
    """A file that is stored, and stays; the hash in hexadecimal digits."""

    path: str
    content_hash: str


@dataclass(frozen=True, slots=True)
class Commit:
    """No more files."""

    keep_others: bool


@dataclass(frozen=True, slots=True)
class IndexItem:
    """One message of a stream."""

    repository: str
    #: None when it says nothing.
    said: FileContent | FileUnchanged | Commit | None


#: A file of a stream.
FileItem: TypeAlias = FileContent | FileUnchanged


@dataclass(frozen=True, slots=True)
class FileFate:
    """What became of a file. None of the three says that it was stored before just like this."""

    path: str
    error: TrimemError | None = None
    #: Set when it was stored.
    cut_method: CutMethod | None = None
    note: str = ""


@dataclass(slots=True)
class IndexSummary:
    """What became of the files from the start of a stream."""

    stored: int = 0
    unchanged: int = 0
    deleted: int = 0
    failed: int = 0
    chunks: int = 0
    embedded: int = 0
    nodes: int = 0
    edges: int = 0
    #: Of those that were not simply stored; the first ones.
    results: list[FileFate] = field(default_factory=list)

    @property
    def settled(self) -> int:
        """Files whose fate is known."""
        return self.stored + self.unchanged + self.failed

    def add(self, fates: Iterable[FileFate]) -> None:
        """Count the next files of the stream."""
        for fate in fates:
            self.failed += fate.error is not None
            self.stored += fate.cut_method is not None
            self.unchanged += fate.error is None and fate.cut_method is None
            if (fate.error is not None or fate.note) and len(self.results) < MOST_RESULTS:
                self.results.append(fate)

    def remark(self, paths: Sequence[str], note: str) -> None:
        """Name files that something is remarkable about, whether they were in the stream or not."""
        self.results += [FileFate(path, note=note) for path in paths[: MOST_RESULTS - len(self.results)]]
