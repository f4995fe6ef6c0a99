"""Imports, calls, traits and bindings of Rust."""

from tree_sitter import Node

from store.code.references.names import (
    MAX_NAME_BYTES,
    MAX_PARTS,
    UNKNOWN,
    NameSyntax,
    first_child,
    pattern_names,
    text_of,
)
from store.code.references.reading import Reading, ReferenceReader, read_base, read_children, read_made
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

_QUERY = """
(use_declaration) @use
(mod_item) @module
(call_expression) @call
(macro_invocation) @macro
(struct_expression) @made
(impl_item) @implementation
(trait_item) @trait
[(parameter) (let_declaration)] @variable
[(let_condition) (for_expression) (match_arm)] @pattern
(closure_parameters) @closure
(field_declaration) @field
(function_item) @returned
(arguments) @values
"""

_NAMED = frozenset({"identifier", "scoped_identifier", "field_expression"})

_PATTERN_NAMES = frozenset({"identifier", "shorthand_field_identifier"})
#: Fields of patterns that are of what is matched: types, conditions.
_NOT_IN_PATTERN = frozenset({"type", "condition"})
_NO_PATTERNS = frozenset({"scoped_identifier", "macro_invocation", "const_block", "generic_pattern", "parameter"})

#: A method of what is inside is called on them as well.
_TRANSPARENT = frozenset({"Arc", "Box", "Option", "Rc", "Result"})


def _module(reading: Reading, node: Node) -> None:
    # In braces it is a definition.
    if node.child_by_field_name("body") is None:
        name = text_of(node.child_by_field_name("name"))
        reading.add_import(node, f"self.{name}", "", name)


def _call(reading: Reading, node: Node) -> None:
    function = node.child_by_field_name("function")
    if function is not None:
        last = function.child_by_field_name("field") or function.child_by_field_name("name") or function
        reading.add_call(last, reading.name(function))


def _implementation(reading: Reading, node: Node) -> None:
    trait = node.child_by_field_name("trait")
    if trait is None:
        return
    implemented = _type_name(reading, node.child_by_field_name("type"))
    reading.add(ReferenceKind.INHERITS, node, reading.name(trait), implemented)


def _trait(reading: Reading, node: Node) -> None:
    bounds = node.child_by_field_name("bounds")
    for bound in bounds.named_children if bounds is not None else ():
        read_base(reading, bound)


def _macro(reading: Reading, node: Node) -> None:
    macro = node.child_by_field_name("macro")
    if macro is not None:
        read_made(reading, macro)


def _made(reading: Reading, node: Node) -> None:
    made = node.child_by_field_name("name")
    if made is not None:
        read_made(reading, made)


def _use(reading: Reading, node: Node) -> None:
    """`use a::{self, b as c, d::*}`: a tree, whose branches are imports."""
    waiting = [(node.child_by_field_name("argument"), "")]
    while waiting:
        found, outer = waiting.pop()
        if found is None:
            continue
        match found.type:
            case "scoped_use_list":
                path = _joined(outer, reading.name(found.child_by_field_name("path")))
                # Lists within lists add to the path without end.
                if path.count(".") < MAX_PARTS and len(path) <= MAX_NAME_BYTES:
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
    elif pattern is not None and pattern.type != "identifier":
        _bind_pattern(reading, pattern)


def _pattern(reading: Reading, node: Node) -> None:
    pattern = node.child_by_field_name("pattern")
    if pattern is not None:
        _bind_pattern(reading, pattern)


def _bind_pattern(reading: Reading, pattern: Node) -> None:
    for name in pattern_names(pattern, _PATTERN_NAMES, _NOT_IN_PATTERN, _NO_PATTERNS):
        # Others are constants and variants, which are compared with.
        if not text_of(name)[:1].isupper():
            reading.bind(name, text_of(name), "")


def _field(reading: Reading, node: Node) -> None:
    if type_name := _type_name(reading, node.child_by_field_name("type")):
        reading.bind(node, text_of(node.child_by_field_name("name")), type_name)


def _returned(reading: Reading, node: Node) -> None:
    if type_name := _type_name(reading, node.child_by_field_name("return_type")):
        reading.bind(node, "return", type_name)


_HANDLERS = {
    "use": _use,
    "module": _module,
    "call": _call,
    "macro": _macro,
    "made": _made,
    "implementation": _implementation,
    "trait": _trait,
    "values": read_children(_NAMED),
    "variable": _variable,
    "pattern": _pattern,
    "closure": _bind_pattern,
    "field": _field,
    "returned": _returned,
}

RUST = ReferenceReader(_QUERY, _SYNTAX, _HANDLERS, frozenset({"self"}))
