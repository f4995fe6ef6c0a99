"""Which paths a search wants: those that begin like this, or those that a pattern matches."""

import re
from dataclasses import dataclass

from servicekit.errors import InvalidArgumentError

MAX_PATH_BYTES = 1024

#: Of one pattern. More say nothing that fewer do not, and cost with each path.
_MOST_WILDCARDS = 32

# Runs of a wildcard are one. `**/` is any folders, none too; a class is closed by a `]` that is not its first.
_WILDCARD = re.compile(
    r"(?P<folders>(?:(?<=/)|(?<![\s\S]))(?:\*\*/)+)|(?P<all>\*{2,})|(?P<some>\*)|(?P<one>\?)"
    r"|\[(?P<others>[!^]?)(?P<set>\]?[^\]]*)\]"
)
_FIRST = re.compile(r"[*?\[]")
_RANGE = re.compile(r"([\s\S])-([\s\S])|([\s\S])")


@dataclass(frozen=True, slots=True)
class PathFilter:
    """What a path must be like: begin with `prefix` and, unless it is None, match `regex` as a whole.

    `regex` means the same to PostgreSQL, which matches without going back and forth, and to Python, which does not.
    """

    prefix: str = ""
    regex: str | None = None

    @property
    def anchored(self) -> str | None:
        """`regex` for one who looks for it anywhere in a path."""
        return None if self.regex is None else f"^(?:{self.regex})$"

    def matches(self, path: str) -> bool:
        """Whether a path is like this. For tests: how long it takes is up to the pattern."""
        return path.startswith(self.prefix) and (
            self.regex is None or re.fullmatch(self.regex, path, re.DOTALL) is not None
        )


def path_filter(path: str) -> PathFilter:
    """The filter that `SearchCodeRequest.path` describes. Raises InvalidArgumentError."""
    if len(path.encode()) > MAX_PATH_BYTES:
        raise InvalidArgumentError("path", f"must be at most {MAX_PATH_BYTES} bytes")
    if "\0" in path:
        raise InvalidArgumentError("path", "must not have a NUL")
    wild = _FIRST.search(path)
    if wild is None:
        return PathFilter(path)
    parts: list[str] = []
    end = count = 0
    for found in _WILDCARD.finditer(path):
        parts += (re.escape(path[end : found.start()]), _regex_of(found))
        end = found.end()
        count += found["one"] is None
    if count > _MOST_WILDCARDS:
        raise InvalidArgumentError("path", f"must have at most {_MOST_WILDCARDS} of `*`, `**` and `[...]`")
    return PathFilter(path[: wild.start()], "".join(parts) + re.escape(path[end:]))


def _regex_of(found: re.Match[str]) -> str:
    if found["folders"]:
        return "(?:.*/)?"
    if found["all"]:
        return ".*"
    if found["some"]:
        return "[^/]*"
    if found["one"]:
        return "[^/]"
    return _class(found["set"], others=bool(found["others"]))


def _class(members: str, *, others: bool) -> str:
    """A class without `/`, by code points: what a `]`, a `[:` or a `\\` means in one differs."""
    ranges = [(ord(one[1] or one[3]), ord(one[2] or one[3])) for one in _RANGE.finditer(members) if one[0] != "/"]
    written = "".join(rf"\U{first:08x}-\U{last:08x}" for first, last in ranges if first <= last)
    if others:
        return rf"[^/{written}]"
    # A range such as `+-9` has it in it, too.
    return f"(?!/)[{written}]" if written else "$x"
