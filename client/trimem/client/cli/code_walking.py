"""Finding the source files of a folder."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pathspec import GitIgnoreSpec

from trimem.client.cli.code_ignoring import VENDORED_FILES, VENDORED_FOLDERS, VERSION_CONTROL, Ignoring
from trimem.client.cli.code_reading import Folder
from trimem.client.cli.failures import UsageProblem


class Skipped(StrEnum):
    """Why a file or a folder is passed over."""

    VENDORED = "vendored"
    IGNORED = "ignored by git"
    EXCLUDED = "excluded"
    LINK = "symbolic link"
    SPECIAL = "no regular file"
    BINARY = "binary"
    TOO_LARGE = "too large"
    VANISHED = "vanished"


@dataclass(slots=True)
class Selection:
    """Which files are wanted."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    #: Also what is vendored, or made.
    everything: bool = False
    most_bytes: int = 1024 * 1024


@dataclass(slots=True)
class Found:
    """What there is in a folder. Paths are below it, with `/`; those of folders end with one."""

    files: list[str] = field(default_factory=list)
    skipped: dict[str, Skipped] = field(default_factory=dict)
    #: What could not be looked at, with the reason: files, and folders, whose files nobody knows.
    problems: dict[str, str] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """How many were passed over, by reason."""
        return dict(Counter(reason.value for reason in self.skipped.values()).most_common())


class Walk:
    """Looks at a folder and all below it, without following symbolic links."""

    def __init__(self, folder: Folder, selection: Selection) -> None:
        self._folder = folder
        self._selection = selection
        self._ignoring = Ignoring(folder)
        self._include = _patterns("--include", selection.include)
        self._exclude = _patterns("--exclude", selection.exclude)
        self._found = Found()

    def run(self) -> Found:
        """All files that are wanted, in the order of their paths."""
        waiting = [""]
        while waiting:
            waiting.extend(self._look(waiting.pop()))
        self._found.files.sort()
        return self._found

    def _look(self, folder: str) -> Iterator[str]:
        """Take the files of a folder. Yields the folders in it that are wanted."""
        try:
            with self._folder.opened(folder.rstrip("/")) as descriptor, os.scandir(descriptor) as entries:
                for entry in filter(_is_content, entries):
                    path = f"{folder}{entry.name}"
                    if not _is_text(path):
                        self._found.problems[shown(path)] = "the name is not UTF-8"
                    elif self._take(path, entry):
                        yield f"{path}/"
        except FileNotFoundError:
            self._found.skipped[folder or "/"] = Skipped.VANISHED
        except OSError as error:
            self._found.problems[folder or "/"] = f"cannot be read: {error.strerror}"

    def _take(self, path: str, entry: os.DirEntry[str]) -> bool:
        """Note what one entry is, whatever happens to it meanwhile. Returns whether it is a folder that is wanted."""
        reason: Skipped | None
        try:
            if entry.is_symlink():
                reason = Skipped.LINK
            elif entry.is_dir(follow_symlinks=False):
                return self._wants_folder(path, entry.name)
            elif not entry.is_file(follow_symlinks=False):
                reason = Skipped.SPECIAL
            else:
                reason = self._against_file(path, entry)
        except FileNotFoundError:
            reason = Skipped.VANISHED
        except OSError as error:
            self._found.problems[path] = f"cannot be read: {error.strerror}"
            return False
        if reason is None:
            self._found.files.append(path)
        else:
            self._found.skipped[path] = reason
        return False

    def _wants_folder(self, path: str, name: str) -> bool:
        reason = None
        if not self._selection.everything and (name in VENDORED_FOLDERS or self._is_environment(path)):
            reason = Skipped.VENDORED
        elif self._exclude.check_file(f"{path}/").include:
            reason = Skipped.EXCLUDED
        elif self._ignoring.is_ignored(path, is_folder=True):
            reason = Skipped.IGNORED
        if reason is not None:
            self._found.skipped[f"{path}/"] = reason
        return reason is None

    def _is_environment(self, path: str) -> bool:
        """Whether it is a virtual environment of Python, whatever it is called."""
        try:
            with self._folder.opened(path) as descriptor:
                os.stat("pyvenv.cfg", dir_fd=descriptor, follow_symlinks=False)
        except OSError:
            return False
        return True

    def _against_file(self, path: str, entry: os.DirEntry[str]) -> Skipped | None:
        is_wanted = not self._selection.include or self._include.check_file(path).include
        if not is_wanted or self._exclude.check_file(path).include:
            return Skipped.EXCLUDED
        if not self._selection.everything and VENDORED_FILES.fullmatch(entry.name):
            return Skipped.VENDORED
        if self._ignoring.is_ignored(path, is_folder=False):
            return Skipped.IGNORED
        if entry.stat(follow_symlinks=False).st_size > self._selection.most_bytes:
            return Skipped.TOO_LARGE
        return None


def _is_content(entry: os.DirEntry[str]) -> bool:
    return entry.name not in VERSION_CONTROL


def _patterns(option: str, globs: Sequence[str]) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(globs)
    except ValueError:
        raise UsageProblem(f"{option}: {' '.join(globs)} is not a pattern as in .gitignore") from None


def shown(path: str) -> str:
    """A path that can be printed and sent, whatever bytes it has."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
