"""What nodes, edges and questions about them must be like."""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import uuid6

from servicekit.errors import InvalidArgumentError
from store.graph import CODE_NAMESPACE, MAX_LABEL, Edge, EdgeDraft, Node, NodeDraft, edge_id
from store.use_cases.event_rules import accept_id, require_plain_json, require_plain_text

MAX_PROPERTIES_BYTES = 64 * 1024
MAX_TYPES = 50
#: Nodes, edges or ids of one call.
MAX_WRITTEN = 1000

_TYPE = re.compile(r"[A-Za-z0-9._-]{1,100}")
_NAMESPACE = re.compile(r"[A-Za-z0-9._/@-]{0,250}")
#: Characters of a type that is asked for: rows from before Trimem may have any.
_LONGEST_TYPE = 1000

Draft = TypeVar("Draft", NodeDraft, EdgeDraft)
Thing = TypeVar("Thing", Node, Edge)


def accept_nodes(drafts: Sequence[NodeDraft]) -> list[Node]:
    """The nodes of a request, with ids. Raises InvalidArgumentError."""
    return _accept("nodes", drafts, _accept_node)


def accept_edges(drafts: Sequence[EdgeDraft]) -> list[Edge]:
    """The edges of a request, with ids. Raises InvalidArgumentError."""
    return _accept("edges", drafts, _accept_edge)


def accept_namespace(value: str) -> str:
    """The namespace itself, which a caller may write. Raises InvalidArgumentError."""
    if not _NAMESPACE.fullmatch(value):
        raise InvalidArgumentError("namespace", "must be at most 250 of letters, digits and `._/@-`")
    if value.startswith(CODE_NAMESPACE):
        raise InvalidArgumentError("namespace", f"begins with `{CODE_NAMESPACE}`, which only CodeService writes")
    return value


def accept_asked_namespace(value: str | None) -> str | None:
    """The namespace itself, any. Raises InvalidArgumentError."""
    if value is not None and not _NAMESPACE.fullmatch(value):
        raise InvalidArgumentError("namespace", "must be at most 250 of letters, digits and `._/@-`")
    return value


def accept_types(field: str, types: Sequence[str]) -> tuple[str, ...]:
    """Types that are asked for, in order. Raises InvalidArgumentError."""
    if len(types) > MAX_TYPES:
        raise InvalidArgumentError(field, f"must be at most {MAX_TYPES}")
    for index, one in enumerate(types):
        if not 1 <= len(one) <= _LONGEST_TYPE:
            raise InvalidArgumentError(f"{field}[{index}]", f"must be 1 to {_LONGEST_TYPE} characters")
        require_plain_text(f"{field}[{index}]", one)
    return tuple(sorted(set(types)))


def accept_bound(field: str, value: int, *, default: int, most: int) -> int:
    """A bound: `default` for 0. Raises InvalidArgumentError: a smaller one than asked for would be a wrong answer."""
    if not 0 <= value <= most:
        raise InvalidArgumentError(field, f"must be 0 to {most}")
    return value or default


def require_count(field: str, count: int) -> None:
    """Raise InvalidArgumentError unless there are some, and not too many for one call."""
    if not 1 <= count <= MAX_WRITTEN:
        raise InvalidArgumentError(field, f"must be 1 to {MAX_WRITTEN}, and are {count}")


def _accept(field: str, drafts: Sequence[Draft], accept: Callable[[Draft], Thing]) -> list[Thing]:
    require_count(field, len(drafts))
    things: list[Thing] = []
    first: dict[object, int] = {}
    for index, draft in enumerate(drafts):
        try:
            thing = accept(draft)
        except InvalidArgumentError as error:
            raise error.within(f"{field}[{index}]") from None
        before = first.setdefault(thing.id, index)
        if things[before:] and things[before] != thing:
            raise InvalidArgumentError(f"{field}[{index}]", f"has the id of {field}[{before}] and is another one")
        things.append(thing)
    return things


def _accept_node(draft: NodeDraft) -> Node:
    _require_type(draft.type)
    if len(draft.label) > MAX_LABEL:
        raise InvalidArgumentError("label", f"must be at most {MAX_LABEL} characters")
    require_plain_text("label", draft.label)
    require_plain_json("properties", draft.properties, MAX_PROPERTIES_BYTES)
    return Node(
        id=accept_id("id", draft.id) if draft.id else uuid6.uuid7(),
        type=draft.type,
        label=draft.label,
        namespace=accept_namespace(draft.namespace),
        properties=draft.properties,
    )


def _accept_edge(draft: EdgeDraft) -> Edge:
    source_id = accept_id("source_id", draft.source_id)
    target_id = accept_id("target_id", draft.target_id)
    _require_type(draft.type)
    namespace = accept_namespace(draft.namespace)
    require_plain_json("properties", draft.properties, MAX_PROPERTIES_BYTES)
    return Edge(
        id=accept_id("id", draft.id) if draft.id else edge_id(source_id, target_id, draft.type, namespace),
        source_id=source_id,
        target_id=target_id,
        type=draft.type,
        namespace=namespace,
        confidence=draft.confidence,
        properties=draft.properties,
    )


def _require_type(value: str) -> None:
    if not value:
        raise InvalidArgumentError("type", "is required")
    if not _TYPE.fullmatch(value):
        raise InvalidArgumentError("type", "must be 1 to 100 of letters, digits and `._-`")
