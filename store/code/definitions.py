"""What a query found in a syntax tree, put together: definitions within definitions, each with what belongs to it."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from tree_sitter import Node

from store.code.parsing import Syntax
from store.code.positions import Positions

#: Definitions deeper than this, or with longer names, are text of what is around them: no source of people has them.
MAX_DEPTH = 20
MAX_NAME_BYTES = 200

_PARTS = ("name", "body", "parameters")
_CATEGORIES = ("class", "function", "module", "implementation", "namespace")
_ONLY_AROUND = frozenset({"implementation", "namespace"})
_DECLARATORS = frozenset(
    {
        "array_declarator",
        "attributed_declarator",
        "function_declarator",
        "parenthesized_declarator",
        "pointer_declarator",
        "reference_declarator",
    }
)

# What may follow a definition in what stands around it.
_AFTER = re.compile(rb"[\s\w*;,]*")
_MAX_AFTER = 100

# Bytes of white space between a definition and its comment.
_MAX_BETWEEN = 1_000


@dataclass(slots=True, eq=False)
class Definition:
    """A definition, or something that definitions are in and have in their names."""

    node: Node
    #: As in Language.
    category: str
    name: str
    #: First byte of what says what it is: the definition is in the chunk that this is in.
    anchor: int
    body: Node | None
    parameters: Node | None
    receiver: str
    #: With what belongs to it: decorators, `export`, leading comments.
    start: int
    end: int
    #: First byte behind the leading comments.
    head: int
    #: How much the query says of it: where two of its patterns find the same, the more exact one counts.
    detail: int
    parent: "Definition | None" = None
    children: list["Definition"] = field(default_factory=list)
    leading: list[Node] = field(default_factory=list)
    marks: list[Node] = field(default_factory=list)
    bases: list[Node] = field(default_factory=list)
    docstring: Node | None = None

    @property
    def is_outlined(self) -> bool:
        """Whether it is a definition by itself, or only in the names of others."""
        return self.category not in _ONLY_AROUND


@dataclass(frozen=True, slots=True)
class Definitions:
    """Of one file."""

    #: Those at the top, in the order of the file.
    top: tuple[Definition, ...]
    #: All, those around others first.
    all: tuple[Definition, ...]
    #: What describes the file.
    docstring: Node | None
    #: What could not be parsed.
    errors: tuple[Node, ...]


def definitions_of(syntax: Syntax, positions: Positions) -> Definitions:
    """Takes what the query captured as in Language."""
    loose: dict[str, list[Node]] = {}
    found: list[Definition] = []
    for captures in syntax.matches:
        if definition := _definition(captures, positions):
            found.append(definition)
        for name, nodes in captures.items():
            loose.setdefault(name, []).extend(nodes)
    found = _without_empty(_nested(found))
    _widen(found, loose.get("outer", ()), positions)
    _attach_comments(found, loose.get("leading", ()), positions)
    _attach_marks(found, loose.get("mark", ()))
    file_docstring = _attach_inner(found, loose.get("base", ()), loose.get("docstring", ()))
    return Definitions(
        top=tuple(each for each in found if each.parent is None),
        all=tuple(found),
        docstring=file_docstring,
        errors=tuple(loose.get("error", ())),
    )


def _definition(captures: dict[str, list[Node]], positions: Positions) -> Definition | None:
    category = next((each for each in _CATEGORIES if each in captures), None)
    if category is None:
        return None
    node = captures[category][0]
    parts = {part: captures[part][0] if part in captures else node.child_by_field_name(part) for part in _PARTS}
    name, body = parts["name"], parts["body"]
    if name is None or name.type in _DECLARATORS:
        name, parts["parameters"] = _declared(name or node.child_by_field_name("declarator"))
    if name is None or not 0 < name.end_byte - name.start_byte <= MAX_NAME_BYTES:
        return None
    receiver = captures["receiver"][0] if "receiver" in captures else None
    is_before_body = body is None or name.start_byte < body.start_byte
    return Definition(
        node=node,
        category=category,
        name=positions.text(*name.byte_range),
        anchor=name.start_byte if is_before_body else node.start_byte,
        body=body,
        parameters=parts["parameters"],
        receiver=positions.text(*receiver.byte_range)[:MAX_NAME_BYTES] if receiver else "",
        start=node.start_byte,
        end=node.end_byte,
        head=node.start_byte,
        detail=len(captures),
    )


def _declared(declarator: Node | None) -> tuple[Node | None, Node | None]:
    """What a declarator of C declares, and its parameters: `*(*name(parameters))[2]`."""
    parameters = None
    for _ in range(MAX_DEPTH):
        if declarator is None or declarator.type not in _DECLARATORS:
            break
        parameters = declarator.child_by_field_name("parameters") or parameters
        # Some have no field for what is in them: `(name)`, `&name`.
        inner = declarator.child_by_field_name("declarator") or declarator.named_child(declarator.named_child_count - 1)
        declarator = inner
    return declarator, parameters


def _nested(found: list[Definition]) -> list[Definition]:
    """In the order of the file, with parents and children; a node that was found twice counts once."""
    found.sort(key=lambda each: (each.start, -each.end, -each.detail))
    kept: list[Definition] = []
    around: list[Definition] = []
    for each in found:
        while around and around[-1].end <= each.start:
            around.pop()
        if around and (around[-1].start, around[-1].end) == (each.start, each.end):
            continue
        if len(around) >= MAX_DEPTH:
            continue
        if around:
            each.parent = around[-1]
            around[-1].children.append(each)
        kept.append(each)
        around.append(each)
    return kept


def _without_empty(found: list[Definition]) -> list[Definition]:
    """Without what only gives its name to definitions within, where there are none."""
    for each in reversed(found):  # those within come first
        each.children = [child for child in each.children if child.children or child.is_outlined]
    return [each for each in found if each.children or each.is_outlined]


def _widen(found: list[Definition], outers: Sequence[Node], positions: Positions) -> None:
    """Gives definitions what stands around them and nothing else: `export …`, decorators."""
    starts = [each.node.start_byte for each in found]
    for outer in outers:
        at = bisect_left(starts, outer.start_byte)
        if at == len(found):
            continue
        inner = found[at]
        after = outer.end_byte - inner.node.end_byte
        if not 0 <= after <= _MAX_AFTER:
            continue
        if _AFTER.fullmatch(positions.content, inner.node.end_byte, outer.end_byte):
            inner.start = inner.head = min(inner.start, outer.start_byte)
            inner.end = max(inner.end, outer.end_byte)


def _attach_comments(found: list[Definition], leading: Sequence[Node], positions: Positions) -> None:
    """Gives definitions the comments right above them, on lines of their own, and what is behind them on their line."""
    content = positions.content
    leading = sorted(leading, key=lambda node: node.start_byte)
    starts = [node.start_byte for node in leading]
    for each in found:
        at = bisect_left(starts, each.start) - 1
        while at >= 0 and _is_above(leading[at], each.start, positions):
            each.leading.insert(0, leading[at])
            each.start = starts[at]
            at -= 1
        each.end += content.startswith(b";", each.end)
        at = bisect_left(starts, each.end)
        if at < len(leading) and leading[at].type.endswith("comment"):
            between = content[each.end : starts[at]] if starts[at] - each.end < _MAX_BETWEEN else b"\n"
            if not between.strip(b" \t"):
                each.end = leading[at].end_byte


def _is_above(comment: Node, start: int, positions: Positions) -> bool:
    """Whether a comment has lines of its own, right above what starts there."""
    if start - comment.end_byte >= _MAX_BETWEEN:
        return False
    between = positions.content[comment.end_byte : start]
    # Some grammars count the newline to the comment.
    newlines = between.count(b"\n") + positions.content.endswith(b"\n", comment.start_byte, comment.end_byte)
    line = positions.line_start(comment.start_byte)
    return not between.strip() and newlines <= 1 and positions.weight(line, comment.start_byte) == 0


def _attach_marks(found: list[Definition], marks: Sequence[Node]) -> None:
    """Gives definitions the decorators before their names."""
    anchors = [each.anchor for each in found]
    end = 0
    for mark in marks:
        if mark.start_byte < end:  # in another one
            continue
        end = mark.end_byte
        at = bisect_right(anchors, mark.start_byte)
        if at < len(found) and found[at].start <= mark.start_byte:
            found[at].marks.append(mark)


def _attach_inner(found: list[Definition], bases: Sequence[Node], docstrings: Sequence[Node]) -> Node | None:
    """Gives definitions what they inherit from, and their docstrings; returns that of the file."""
    starts = [each.node.start_byte for each in found]
    of_file = None
    for base in bases:
        if (owner := _around(found, starts, base)) is not None and owner.category != "function":
            owner.bases.append(base)
    for docstring in docstrings:
        owner = _around(found, starts, docstring)
        if owner is None:
            of_file = of_file or docstring
        elif owner.docstring is None:
            owner.docstring = docstring
    return of_file


def _around(found: list[Definition], starts: list[int], node: Node) -> Definition | None:
    """The innermost definition around a node."""
    at = bisect_right(starts, node.start_byte) - 1
    each = found[at] if at >= 0 else None
    while each is not None and each.node.end_byte < node.end_byte:
        each = each.parent
    return each
