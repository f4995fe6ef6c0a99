"""What is referred to, as a name with dots, of an expression in any language."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tree_sitter import Node

#: More parts than this, or a longer one, and the name begins with `?`: fluent calls can be thousands long.
MAX_PARTS = 8
MAX_NAME_BYTES = 200
UNKNOWN = "?"
_MAX_PATTERN_NODES = 1_000


@dataclass(frozen=True, slots=True)
class NameSyntax:
    """Which types of nodes make a name, and in which fields of theirs the rest of it is."""

    #: Whose text is a name.
    names: frozenset[str]
    #: `object.name`: the fields of both.
    members: Mapping[str, tuple[str, str]]
    #: `function(…)`: the field of the function; empty for the first child.
    calls: Mapping[str, str] = field(default_factory=dict)
    #: Calls that are members too, as in Java.
    method_calls: frozenset[str] = frozenset()
    #: `object[…]`.
    subscripts: Mapping[str, str] = field(default_factory=dict)
    #: What does not change the meaning, such as parentheses: the field of what is inside; empty for the first child.
    wrappers: Mapping[str, str] = field(default_factory=dict)
    #: Values whose type the language knows.
    literals: Mapping[str, str] = field(default_factory=dict)
    #: Makes the text of a name one with dots, such as `std::fs`.
    cleaned: Callable[[str], str] | None = None


def text_of(node: Node | None) -> str:
    """The text of a node, if it can be a name."""
    if node is None or node.end_byte - node.start_byte > MAX_NAME_BYTES or not node.text:
        return ""
    return node.text.decode("utf-8", "replace")


def dotted_name(node: Node | None, syntax: NameSyntax) -> str:
    """See Reference.target."""
    parts: list[str] = []
    marks = ""
    for _ in range(2 * MAX_PARTS):
        if node is None or len(parts) == MAX_PARTS:
            break
        kind = node.type
        if kind in syntax.names or kind in syntax.literals:
            text = syntax.literals.get(kind) or text_of(node)
            parts.append((syntax.cleaned(text) if syntax.cleaned else text) + marks if text else UNKNOWN)
            return ".".join(reversed(parts))
        if kind in syntax.members:
            holder, name = syntax.members[kind]
            called = "()" if kind in syntax.method_calls else ""
            parts.append((text_of(_name_of(node, name, syntax)) or UNKNOWN) + called + marks)
            marks, node = "", node.child_by_field_name(holder)
            if node is None:
                return ".".join(reversed(parts))
        elif kind in syntax.calls:
            marks, node = "()" + marks, _child(node, syntax.calls[kind])
        elif kind in syntax.subscripts:
            marks, node = "[]" + marks, _child(node, syntax.subscripts[kind])
        elif kind in syntax.wrappers:
            node = _child(node, syntax.wrappers[kind])
        else:
            break
    parts.append(UNKNOWN + marks)
    return ".".join(reversed(parts))


def _name_of(node: Node, field_name: str, syntax: NameSyntax) -> Node | None:
    """The name of a member, which may have type arguments."""
    found = node.child_by_field_name(field_name)
    while found is not None and found.type in syntax.wrappers:
        found = _child(found, syntax.wrappers[found.type])
    return found


def pattern_names(
    pattern: Node, names: frozenset[str], other_fields: frozenset[str], others: frozenset[str]
) -> Iterator[Node]:
    """Nodes of all names that a pattern binds.

    `other_fields` of the nodes in it, and nodes of the types `others`, hold names that it does not bind.
    """
    waiting = [pattern]
    for _ in range(_MAX_PATTERN_NODES):
        if not waiting:
            break
        node = waiting.pop()
        if node.type in names:
            yield node
        elif node.type not in others:
            waiting.extend(
                child
                for place, child in enumerate(node.children)
                if child.is_named and node.field_name_for_child(place) not in other_fields
            )


def first_child(node: Node) -> Node | None:
    """The first child that is not punctuation."""
    return node.named_child(0) if node.named_child_count else None


def _child(node: Node, field_name: str) -> Node | None:
    return node.child_by_field_name(field_name) if field_name else first_child(node)
