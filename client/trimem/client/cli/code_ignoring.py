"""Which files of a folder are not the work of those who write in it."""

import re
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from trimem.client.cli.code_reading import Folder
from trimem.client.cli.failures import complain

#: Folders of version control, and files that lead to one; never indexed.
VERSION_CONTROL = frozenset({".git", ".hg", ".svn", ".jj"})

#: Folders of what was written elsewhere, or made.
VENDORED_FOLDERS = frozenset(
    {
        *(".eggs", ".gradle", ".mypy_cache", ".next", ".nox", ".nuxt", ".pytest_cache", ".ruff_cache", ".terraform"),
        *(".tox", ".venv", "Pods", "__pycache__", "bower_components", "build", "dist", "node_modules"),
        *("site-packages", "target", "third_party", "vendor", "venv"),
    }
)
VENDORED_FILES = re.compile(
    r".*\.min\.(js|mjs|css)|.*\.(js|mjs|css)\.map|.*\.pyc"
    r"|(Cargo|Gemfile|Pipfile|composer|flake|pdm|poetry|uv|yarn)\.lock|package-lock\.json|pnpm-lock\.yaml|go\.sum"
)

#: A .gitignore has some lines; one that is larger is none.
_MOST_BYTES = 1024 * 1024

#: Wildcards in a pattern that what comes before them leaves a choice; those of people have one or two.
_MOST_WILDCARDS = 3


@dataclass(frozen=True, slots=True)
class Rules:
    """Patterns of one file; they are about what is below its folder."""

    #: The folder as a path with `/` behind it; empty at the top.
    folder: str
    spec: GitIgnoreSpec

    def verdict(self, path: str) -> bool | None:
        """Whether a path is ignored; None when no pattern is about it."""
        return self.spec.check_file(path[len(self.folder) :]).include


class Ignoring:
    """Rules of .gitignore files and of .git/info/exclude; of the ones that are about a path the innermost decides."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._has_told = False
        #: Where the folder is in its repository, which may begin further up.
        self._above = ""
        self._rules: dict[str, tuple[Rules, ...]] = {}
        self._outer = self._rules_above()
        if self._above and self.is_ignored("", is_folder=True):
            self._outer, self._above = (), ""  # who names an ignored folder wants what is in it
            self._rules.clear()

    def is_ignored(self, path: str, *, is_folder: bool) -> bool:
        """Whether git would not look at a path below the folder."""
        full = f"{self._above}{path}".rstrip("/") + "/" * is_folder
        for rules in reversed(self._rules_of(path.rpartition("/")[0])):
            if (verdict := rules.verdict(full)) is not None:
                return verdict
        return False

    def _rules_of(self, folder: str) -> tuple[Rules, ...]:
        """Rules for what is in a folder, the innermost last."""
        if (known := self._rules.get(folder)) is not None:
            return known
        outer = self._rules_of(folder.rpartition("/")[0]) if folder else self._outer
        prefix = f"{folder}/" if folder else ""
        own = self._read(self._folder, f"{prefix}.gitignore", f"{self._above}{prefix}")
        self._rules[folder] = found = (*outer, own) if own else outer
        return found

    def _rules_above(self) -> tuple[Rules, ...]:
        top = self._folder.path.resolve()
        folders = [top, *top.parents]
        repository = next((one for one in folders if _has_repository(one)), None)
        if repository is None:
            return ()
        self._above = f"{top.relative_to(repository).as_posix()}/" if repository != top else ""
        found: list[Rules] = []
        for above in reversed(folders[: folders.index(repository) + 1]):
            files = [".git/info/exclude"] if above == repository else []
            files += [".gitignore"] if above != top else []
            base = above.relative_to(repository).as_posix()
            try:
                outer = Folder(above)
            except OSError:  # which may not be listed: what is in it is as if it were not there
                continue
            try:
                for file in files:
                    rules = self._read(outer, file, "" if base == "." else f"{base}/")
                    found += [rules] if rules else []
            finally:
                outer.close()
        return tuple(found)

    def _read(self, folder: Folder, path: str, base: str) -> Rules | None:
        try:
            content = folder.read(path, _MOST_BYTES)
        except OSError:
            return None
        if len(content) > _MOST_BYTES:
            complain(f"{folder.path / path}: too large to be rules, and passed over")
            return None
        lines, slow = [], ""
        for line in content.decode("utf-8-sig", errors="replace").split("\n"):  # as git does: other ends are none
            if line.startswith("#") or not _is_slow(line):
                lines.append(line.removesuffix("\r"))
            else:
                slow = slow or line
        if slow and not self._has_told:
            self._has_told = True
            complain(f"{folder.path / path}: patterns with many wildcards are passed over, such as {slow[:80]}")
        try:
            return Rules(base, GitIgnoreSpec.from_lines(lines))
        except ValueError:  # of a pattern that is none; git passes over it
            return Rules(base, GitIgnoreSpec.from_lines(line for line in lines if _is_pattern(line)))


def _has_repository(folder: Path) -> bool:
    try:
        return (folder / ".git").exists()
    except OSError:
        return False


def repository_name(folder: Folder) -> str:
    """What a repository is called that is in a folder: `owner/name` of its origin, else the name of the folder."""
    try:
        config = folder.read(".git/config", _MOST_BYTES).decode(errors="replace")
    except OSError:
        config = ""
    place = re.search(r"[:/]([A-Za-z0-9._-]+/[A-Za-z0-9._-]+?)(?:\.git)?/?$", _origin(config))
    if place and ".." not in place[1]:
        return place[1][:200]
    name = re.sub(r"[^A-Za-z0-9._@-]+", "-", Path(folder.path).resolve().name).strip("-")
    return name[:200] or "code"


def _origin(config: str) -> str:
    """Where a repository came from, as its configuration says."""
    is_origin = False
    for line in map(str.strip, config.split("\n")):
        if line.startswith("["):
            is_origin = line == '[remote "origin"]'
        elif is_origin:
            key, _, value = line.partition("=")
            if key.strip() == "url" and value.strip():
                return value.split()[0]
    return ""


def _is_slow(pattern: str) -> bool:
    """Whether its wildcards can share a path among them in so many ways that trying all of them takes seconds."""
    parts = pattern.rstrip("/").split("/")
    inner = parts[1:-1].count("**")
    return inner + sum(max(part.count("*") - 1, 0) for part in parts if part != "**") > _MOST_WILDCARDS


def _is_pattern(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
