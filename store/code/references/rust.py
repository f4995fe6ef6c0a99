"""Imports, calls, traits and bindings of Rust."""

from tree_sitter import Node

from store.code.references.names import UNKNOWN, NameSyntax, first_child, text_of
from store.code.references.reading import Reading, ReferenceReader, read_base, read_made, read_value
from store.code.source import ReferenceKind

_SYNTAX = NameSyntax(
    names=frozenset({"identifier", "type_identifier", "field_identifier", "self", "super", "crate"}),
    members={
        "scoped_identifier": ("path", "name"),
        "scoped_type_identifier": ("path", "name"),
        "field_expression": ("value", "field"),
    },
    calls={"call_expression": "function", "struct_expression": "name"},
    subscripts={"index_expression": ""},
    wrappers={
        "parenthesized_expression": "",
        "generic_function": "function",
        "generic_type": "type",
        "reference_expression": "value",
        "reference_type": "type",
        "try_expression": "",
        "await_expression": "",
        "dynamic_type": "trait",
        "abstract_type": "trait",
    },
)

_NAMED = "[(identifier) (scoped_identifier) (field_expression)]"
_QUERY = f"""
(use_declaration argument: (_) @use)
(mod_item !body name: (_) @module)
(call_expression) @call
(macro_invocation macro: (_) @macro)
(struct_expression name: (_) @made)
(impl_item trait: (_) @trait)
(trait_item bounds: (trait_bounds (_) @base))
(parameter) @variable
(let_declaration) @variable
(field_declaration) @field
(function_item return_type: (_) @returned)
(arguments {_NAMED} @value)
"""

#: A method of what is inside is called on them as well.
_TRANSPARENT = frozenset({"Arc", "Box", "Option", "Rc", "Result"})


def _module(reading: Reading, node: Node) -> None:
    reading.add_import(node, f"self.{text_of(node)}", "", text_of(node))


def _call(reading: Reading, node: Node) -> None:
    function = node.child_by_field_name("function")
    if function is not None:
        last = function.child_by_field_name("field") or function.child_by_field_name("name") or function
        reading.add_call(last, reading.name(function))


def _trait(reading: Reading, node: Node) -> None:
    implemented = node.parent.child_by_field_name("type") if node.parent is not None else None
    reading.add(ReferenceKind.INHERITS, node, reading.name(node), _type_name(reading, implemented))


def _use(reading: Reading, node: Node) -> None:
    """`use a::{self, b as c, d::*}`: a tree, whose branches are imports."""
    waiting: list[tuple[Node | None, str]] = [(node, "")]
    while waiting:
        found, outer = waiting.pop()
        if found is None:
            continue
        match found.type:
            case "scoped_use_list":
                path = _joined(outer, reading.name(found.child_by_field_name("path")))
                waiting.append((found.child_by_field_name("list"), path))
            case "use_list":
                waiting.extend((child, outer) for child in found.named_children)
            case "use_as_clause":
                path = _joined(outer, reading.name(found.child_by_field_name("path")))
                _add_use(reading, found, path, text_of(found.child_by_field_name("alias")))
            case "use_wildcard":
                reading.add_import(found, _joined(outer, reading.name(first_child(found))), "*", "")
            case "self":
                _add_use(reading, found, outer, "")
            case _:
                _add_use(reading, found, _joined(outer, reading.name(found)), "")


def _add_use(reading: Reading, node: Node, path: str, alias: str) -> None:
    module, _, name = path.rpartition(".")
    reading.add_import(node, module or "self", name, alias or name)


def _joined(outer: str, inner: str) -> str:
    return f"{outer}.{inner}" if outer else inner


def _type_name(reading: Reading, node: Node | None) -> str:
    for _ in range(3):
        inner = node.child_by_field_name("type_arguments") if node is not None else None
        if node is None or inner is None or reading.name(node).rpartition(".")[2] not in _TRANSPARENT:
            break
        node = first_child(inner)
    name = reading.name(node)
    return "" if UNKNOWN in name else name


def _variable(reading: Reading, node: Node) -> None:
    pattern, value = node.child_by_field_name("pattern"), node.child_by_field_name("value")
    is_function = value is not None and value.type == "closure_expression"
    if pattern is not None and pattern.type == "identifier" and not is_function:
        given = node.child_by_field_name("type")
        known = _type_name(reading, given) if given is not None else reading.value_type(value)
        reading.bind(node, text_of(pattern), known)


def _field(reading: Reading, node: Node) -> None:
    if type_name := _type_name(reading, node.child_by_field_name("type")):
        reading.bind(node, text_of(node.child_by_field_name("name")), type_name)


def _returned(reading: Reading, node: Node) -> None:
    if type_name := _type_name(reading, node):
        reading.bind(node, "return", type_name)


_HANDLERS = {
    "use": _use,
    "module": _module,
    "call": _call,
    "macro": read_made,
    "made": read_made,
    "trait": _trait,
    "base": read_base,
    "value": read_value,
    "variable": _variable,
    "field": _field,
    "returned": _returned,
}

RUST = ReferenceReader(_QUERY, _SYNTAX, _HANDLERS, frozenset({"self"}))
