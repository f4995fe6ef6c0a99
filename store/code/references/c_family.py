"""Includes, calls, base classes and bindings of C and C++."""

import re

from tree_sitter import Node

from store.code.references.names import UNKNOWN, NameSyntax, first_child, text_of
from store.code.references.reading import Reading, ReferenceReader, read_base, read_children, read_field, read_made

_TEMPLATE = re.compile(r"<[^<>]*>")


def _cleaned(text: str) -> str:
    """`std::vector<int>::size` without its arguments, with dots."""
    for _ in range(4):
        text = _TEMPLATE.sub("", text)
    return ".".join(part for part in "".join(text.split()).split("::") if part) if "<" not in text else UNKNOWN


_SYNTAX = NameSyntax(
    names=frozenset(
        {
            "identifier",
            "field_identifier",
            "type_identifier",
            "namespace_identifier",
            "qualified_identifier",
            "template_function",
            "template_type",
            "template_method",
            "this",
        }
    ),
    members={"field_expression": ("argument", "field")},
    calls={"call_expression": "function", "new_expression": "type"},
    subscripts={"subscript_expression": "argument"},
    wrappers={"parenthesized_expression": "", "pointer_expression": "argument"},
    cleaned=_cleaned,
)

_C = """
(preproc_include) @include
(call_expression) @call
[(field_declaration) (declaration) (parameter_declaration)] @variable
(function_definition) @returned
[(argument_list) (initializer_list)] @values
(initializer_pair) @value
"""

_CPP_ONLY = """
(using_declaration) @using
(namespace_alias_definition) @alias
(for_range_loop) @variable
(new_expression) @made
(base_class_clause) @bases
"""

_NAMED = frozenset({"identifier", "pointer_expression"})
_TYPES = frozenset({"type_identifier", "qualified_identifier", "template_type"})
_DECLARATORS = frozenset(
    {"pointer_declarator", "reference_declarator", "init_declarator", "array_declarator", "parenthesized_declarator"}
)


def _include(reading: Reading, node: Node) -> None:
    reading.add_import(node, text_of(node.child_by_field_name("path")).strip('<>"'), "", "")


def _using(reading: Reading, node: Node) -> None:
    path = reading.name(first_child(node))
    if UNKNOWN in path or (reading.scope(node) and reading.is_seen_outside(node)):
        return  # in a class: a name of a base, which the class has anyway
    module, _, name = path.rpartition(".")
    if any(child.type == "namespace" for child in node.children):
        reading.add_import(node, path, "*", "")
    elif module:
        reading.add_import(node, module, name, name)


def _alias(reading: Reading, node: Node) -> None:
    path = ".".join(text_of(node.named_child(1)).split("::")) if node.named_child_count > 1 else ""
    reading.bind(node, text_of(node.child_by_field_name("name")), f"={path}" if path else "")


def _call(reading: Reading, node: Node) -> None:
    function = node.child_by_field_name("function")
    if function is not None:
        reading.add_call(function.child_by_field_name("field") or function, reading.name(function))


def _made(reading: Reading, node: Node) -> None:
    made = node.child_by_field_name("type")
    if made is not None:
        read_made(reading, made)


def _bases(reading: Reading, node: Node) -> None:
    for child in node.named_children:
        if child.type in _TYPES:
            read_base(reading, child)


def _returned(reading: Reading, node: Node) -> None:
    type_name = _type_name(reading, node.child_by_field_name("type"))
    if type_name not in ("", "void", "auto"):
        reading.bind(node, "return", type_name)


def _type_name(reading: Reading, node: Node | None) -> str:
    if node is None or node.type in ("primitive_type", "sized_type_specifier"):
        return ""
    if node.type in ("struct_specifier", "class_specifier", "union_specifier", "enum_specifier"):
        return text_of(node.child_by_field_name("name"))
    name = reading.name(node)
    return "" if UNKNOWN in name else name


def _variable(reading: Reading, node: Node) -> None:
    if node.type == "parameter_declaration" and reading.is_seen_outside(node):
        return  # of a prototype
    type_name = _type_name(reading, node.child_by_field_name("type"))
    for declarator in node.children_by_field_name("declarator"):
        named: Node | None = declarator
        value = declarator.child_by_field_name("value")
        for _ in range(8):
            if named is not None and named.type == "function_declarator" and _is_variable(node, named):
                type_name = ""
            elif named is None or named.type not in _DECLARATORS:
                break
            inner = named.child_by_field_name("declarator")
            named = inner if inner is not None else (named.named_child(0) if named.named_child_count else None)
        if named is not None and named.type in ("identifier", "field_identifier"):
            known = type_name or (reading.value_type(value) if value is not None else "")
            reading.bind(declarator, text_of(named), known)
        elif named is not None and named.type == "structured_binding_declarator":
            for name in named.named_children:
                reading.bind(name, text_of(name), "")


def _is_variable(node: Node, function: Node) -> bool:
    # A pointer to a function, or a function that is a parameter: others are declarations of functions.
    inner = function.child_by_field_name("declarator")
    return node.type == "parameter_declaration" or (inner is not None and inner.type == "parenthesized_declarator")


_HANDLERS = {
    "include": _include,
    "using": _using,
    "alias": _alias,
    "call": _call,
    "made": _made,
    "bases": _bases,
    "values": read_children(_NAMED),
    "value": read_field("value", _NAMED),
    "variable": _variable,
    "returned": _returned,
}

C = ReferenceReader(_C, _SYNTAX, _HANDLERS, frozenset())
CPP = ReferenceReader(_C + _CPP_ONLY, _SYNTAX, _HANDLERS, frozenset({"this"}))
