"""Definitions as others see them: qualified names, signatures, docstrings, parameters."""

import inspect
import re
from collections.abc import Mapping

from tree_sitter import Node

from store.code.definitions import Definition, Definitions
from store.code.positions import Positions
from store.code.source import CodeKind, Span, Symbol

MAX_SIGNATURE = 1_000
MAX_DOCSTRING = 4_000
_MAX_PARAMETERS = 100
_MAX_MARKS = 20
_MAX_MARK = 200

_HOLDS_METHODS = frozenset({"class", "implementation"})

# Of a parameter: what is not its name.
_NOT_NAMES = frozenset({"type", "value", "default_value", "right", "parameters", "return_type", "size", "decorator"})
_NAME_TYPES = frozenset(
    {"identifier", "shorthand_property_identifier_pattern", "field_identifier", "self", "this", "variadic_parameter"}
)
_NO_PARAMETERS = frozenset({"modifiers", "attribute_item", "attribute_declaration"})
_MAX_PARAMETER_NODES = 2_000

_SPACE = re.compile(r"\s+")
_ARGUMENTS = re.compile(r"<[^<>]*>")
_NO_NAMES = re.compile(r"'\w+\b(?!')|\b(?:dyn|mut|const)\b|[&*\s\"'`]")
_OPERATOR = re.compile(r"(?<![^:])operator\b(?:\s*\(\s*\)|[^(]*)")
_STRING = re.compile(r"""^[a-zA-Z]{0,3}("{3}|'{3}|"|')(.*)\1$""", re.DOTALL)
_AROUND_MARKS = (("@", ""), ("#[", "]"), ("[[", "]]"))


class Symbols:
    """Of one file: a symbol for each definition, and what of them belongs to the outline."""

    def __init__(
        self, definitions: Definitions, positions: Positions, complexity: Mapping[int, int] | None = None
    ) -> None:
        """Of the definitions in a file; `complexity` by the lines that they begin in."""
        self._positions = positions
        self._complexity = complexity or {}
        self._of: dict[Definition, Symbol] = {}
        for each in definitions.all:
            self._of[each] = self._symbol(each)
        self.outline = tuple(symbol for each, symbol in self._of.items() if each.is_outlined)

    def __getitem__(self, definition: Definition) -> Symbol:
        return self._of[definition]

    def _symbol(self, each: Definition) -> Symbol:
        receiver, name = _split(each.name)
        around = [self._of[each.parent].qualified_name if each.parent else "", _dotted(each.receiver), receiver]
        parent = ".".join(part for part in around if part)
        is_method = bool(each.receiver or receiver) or (each.parent and each.parent.category in _HOLDS_METHODS)
        return Symbol(
            kind=CodeKind.CLASS if each.category != "function" else CodeKind.METHOD if is_method else CodeKind.FUNCTION,
            name=name,
            qualified_name=f"{parent}.{name}" if parent else name,
            parent=parent,
            span=span_of(self._positions, *self._positions.trimmed(each.start, each.end)),
            signature=self._signature(each),
            docstring=self._docstring(each),
            parameters=_parameters(each.parameters, self._positions),
            decorators=tuple(_unmarked(self._positions.text(*mark.byte_range)) for mark in each.marks[:_MAX_MARKS]),
            complexity=self._complexity.get(each.node.start_point.row + 1, 0),
            bases=tuple(self._positions.text(*base.byte_range)[:_MAX_MARK] for base in each.bases[:_MAX_MARKS]),
        )

    def _signature(self, each: Definition) -> str:
        """From behind comments and decorators up to the body."""
        end = each.body.start_byte if each.body else each.end
        start = each.head
        parts = []
        room = 4 * MAX_SIGNATURE
        for mark in [*each.marks[:_MAX_MARKS], None]:
            stop = mark.start_byte if mark else end
            if stop > start:
                parts.append(self._positions.content[start : min(stop, start + room)])
            start = max(start, mark.end_byte) if mark else start
        text = b" ".join(parts).decode(errors="replace")
        return _SPACE.sub(" ", text).strip().rstrip(":{").strip()[:MAX_SIGNATURE]

    def _docstring(self, each: Definition) -> str:
        if each.docstring is not None:
            return string_text(self._positions, each.docstring)
        return comment_text(self._positions, each.leading)


def span_of(positions: Positions, start: int, end: int) -> Span:
    """Of bytes; `end` is behind the last one."""
    return Span(start, end, positions.line(start), positions.line(max(start, end - 1)))


def string_text(positions: Positions, node: Node) -> str:
    """A docstring that is a string, without quotes and indentation."""
    found = _STRING.match(positions.text(*node.byte_range))
    return inspect.cleandoc(found.group(2).replace("\r\n", "\n")).strip()[:MAX_DOCSTRING] if found else ""


_COMMENT_MARKS = re.compile(r"^\s*(?:/\*[*!]*<?|//[/!]*<?|\*+/|\*(?!/)|#+|;+)?[ \t]?")


def comment_text(positions: Positions, comments: list[Node]) -> str:
    """Comments without their marks."""
    lines: list[str] = []
    for comment in comments:
        text = positions.text(comment.start_byte, min(comment.end_byte, comment.start_byte + 4 * MAX_DOCSTRING))
        if text.startswith(("#[", "#!", "@")):  # an attribute, an interpreter, a decorator
            continue
        lines += map(_without_marks, text.splitlines())
    return "\n".join(lines).strip()[:MAX_DOCSTRING]


def _without_marks(line: str) -> str:
    """A line of a comment; its end by itself, as a pattern for it takes quadratic time on white space."""
    line = _COMMENT_MARKS.sub("", line)
    bare = line.rstrip()
    return bare[:-1].rstrip("*").rstrip() if bare.endswith("*/") else line


def _split(name: str) -> tuple[str, str]:
    """The path of a name as written, joined by dots, and its last part: `a::B<T>::run` are `a.B` and `run`."""
    if name.isidentifier():
        return "", name
    if name[0] in "[\"'`":  # a computed name, or one that is a string
        # Without a name it would be taken for the top of the file.
        return "", name.strip("\"'`") or name
    operator = _OPERATOR.search(name)
    if operator:
        return _dotted(name[: operator.start()]), _SPACE.sub(" ", operator[0]).strip()
    path, _, last = _dotted(name).rpartition(".")
    return path, last or name


def _dotted(path: str) -> str:
    """Without type arguments, references, lifetimes, quotes; joined by dots."""
    if not path or path.isidentifier():
        return path
    while (bare := _ARGUMENTS.sub("", path)) != path:
        path = bare
    return ".".join(part for part in _NO_NAMES.sub("", path).replace("::", ".").split(".") if part)


def _parameters(parameters: Node | None, positions: Positions) -> tuple[str, ...]:
    """Names, those within patterns too. Walks a bounded number of nodes."""
    if parameters is None:
        return ()
    if parameters.type in _NAME_TYPES:  # `x => …`
        return (positions.text(*parameters.byte_range),)
    names: dict[str, None] = {}
    cursor = parameters.walk()
    if not cursor.goto_first_child():
        return ()
    depth = 1
    for _ in range(_MAX_PARAMETER_NODES):
        node = cursor.node
        enters = node is not None and cursor.field_name not in _NOT_NAMES and node.type not in _NO_PARAMETERS
        if enters and node is not None and node.type in _NAME_TYPES:
            names[positions.text(*node.byte_range)[:_MAX_MARK]] = None
        elif enters and cursor.goto_first_child():
            depth += 1
            continue
        while not cursor.goto_next_sibling():
            depth -= 1
            if depth == 0 or not cursor.goto_parent():
                return tuple(names)[:_MAX_PARAMETERS]
    return tuple(names)[:_MAX_PARAMETERS]


def _unmarked(mark: str) -> str:
    for before, behind in _AROUND_MARKS:
        if mark.startswith(before):
            mark = mark.removeprefix(before).removesuffix(behind)
            break
    return _SPACE.sub(" ", mark).strip()[:_MAX_MARK]
