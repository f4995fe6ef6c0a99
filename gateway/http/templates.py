"""Path templates of `google.api.http`, such as `/v1/events/{id}` and `/v1/{name=shelves/*}:archive`."""

import re
from dataclasses import dataclass
from typing import Self

#: One piece of a template: a variable with an optional pattern, a wildcard, or text.
_PIECE = re.compile(
    r"\{(?P<name>[a-z_][\w.]*)(?:=(?P<pattern>[^{}]+))?\}|(?P<wildcard>\*{1,2})|(?P<text>[^{}*]+)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A template that can be matched with percent-encoded paths."""

    #: The template as written.
    text: str
    #: Names of its variables: dotted paths of fields.
    variables: tuple[str, ...]
    _regex: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a template. Raises ValueError when it is none."""
        pieces = list(_PIECE.finditer(text))
        if not text.startswith("/") or "".join(piece.group() for piece in pieces) != text:
            raise ValueError(f"not a path template: {text}")
        names = tuple(piece["name"] for piece in pieces if piece["name"])
        return cls(text, names, re.compile("".join(map(_regex_of, pieces))))

    def match(self, path: str) -> dict[str, str] | None:
        """The values of the variables, still percent-encoded, or None when the path is another one."""
        found = self._regex.fullmatch(path)
        return dict(zip(self.variables, found.groups(), strict=True)) if found else None

    @property
    def rank(self) -> tuple[bool, int]:
        """Sorts templates that match the same path, best first: one with a verb, then one with more fixed text.

        `{id}` alone would take `x:archive` for an id.
        """
        fixed = re.sub(r"\{.*?\}|\*", "", self.text)
        return (":" not in fixed, -len(fixed))


def _regex_of(piece: re.Match[str]) -> str:
    if piece["name"]:
        return f"({_segments(piece['pattern'] or '*')})"
    return _segments(piece.group())


def _segments(text: str) -> str:
    """`*` is one segment, `**` any number of them, anything else itself."""
    return re.escape(text).replace(r"\*\*", ".*").replace(r"\*", "[^/]+")
