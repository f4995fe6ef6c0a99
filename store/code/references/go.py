"""Imports, calls, embedded types and bindings of Go."""

from tree_sitter import Node

from store.code.references.names import UNKNOWN, NameSyntax, first_child, text_of
from store.code.references.reading import Reading, ReferenceReader, read_base, read_children, read_made

_SYNTAX = NameSyntax(
    names=frozenset({"identifier", "type_identifier", "package_identifier", "field_identifier"}),
    members={"selector_expression": ("operand", "field"), "qualified_type": ("package", "name")},
    # What is made or asserted to be of a type is as good as made by a call of it.
    calls={"call_expression": "function", "composite_literal": "type", "type_assertion_expression": "type"},
    subscripts={"index_expression": "operand"},
    wrappers={
        "parenthesized_expression": "",
        "unary_expression": "operand",
        "pointer_type": "",
        "generic_type": "type",
        "type_instantiation_expression": "type",
        "expression_list": "",
    },
)

_QUERY = """
(import_spec) @import
(call_expression) @call
(composite_literal) @made
[(field_declaration) (parameter_declaration) (var_spec)] @variable
(type_elem) @embedded
(short_var_declaration) @short
(range_clause) @range
(receive_statement) @range
(type_switch_statement) @switched
[(function_declaration) (method_declaration)] @returned
[(argument_list) (literal_element) (expression_list)] @values
"""

_NAMED = frozenset({"identifier", "selector_expression"})
_TYPES = frozenset({"type_identifier", "qualified_type", "generic_type"})


def _call(reading: Reading, node: Node) -> None:
    function = node.child_by_field_name("function")
    if function is not None:
        reading.add_call(function.child_by_field_name("field") or function, reading.name(function))


def _import(reading: Reading, node: Node) -> None:
    module = text_of(node.child_by_field_name("path")).strip('"`')
    name = node.child_by_field_name("name")
    if name is not None and name.type == "dot":
        reading.add_import(node, module, "*", "")
        return
    parts = module.split("/")
    # The last part may be a version: `github.com/acme/upload/v2` is `upload`.
    last = parts[-2] if len(parts) > 1 and parts[-1][:1] == "v" and parts[-1][1:].isdigit() else parts[-1]
    alias = text_of(name) if name is not None else last
    reading.add_import(node, module, "", "" if alias == "_" else alias)


def _type_name(reading: Reading, node: Node | None) -> str:
    name = reading.name(node)
    return "" if UNKNOWN in name else name


def _made(reading: Reading, node: Node) -> None:
    made = node.child_by_field_name("type")
    if made is not None and made.type in _TYPES:
        read_made(reading, made)


def _embedded(reading: Reading, node: Node) -> None:
    embedded = first_child(node)
    if embedded is not None and node.named_child_count == 1 and embedded.type in _TYPES:
        read_base(reading, embedded)


def _variable(reading: Reading, node: Node) -> None:
    names = node.children_by_field_name("name")
    given = node.child_by_field_name("type")
    if node.type == "field_declaration" and not names and given is not None:
        read_base(reading, given)
    if given is None:
        _assigned(reading, node, names[0] if names else None, node.child_by_field_name("value"))
        return
    for name in names:
        reading.bind(name, text_of(name), _type_name(reading, given))


def _short(reading: Reading, node: Node) -> None:
    _assigned(reading, node, node.child_by_field_name("left"), node.child_by_field_name("right"))


def _range(reading: Reading, node: Node) -> None:
    left = node.child_by_field_name("left")
    for child in left.named_children if left is not None else ():
        reading.bind(node, text_of(child), "")


def _switched(reading: Reading, node: Node) -> None:
    alias = node.child_by_field_name("alias")
    for child in alias.named_children if alias is not None else ():
        reading.bind(node, text_of(child), "")


def _assigned(reading: Reading, node: Node, left: Node | None, right: Node | None) -> None:
    if left is None:
        return
    names = left.named_children if left.type == "expression_list" else [left]
    values = right.named_children if right is not None and right.type == "expression_list" else []
    for place, name in enumerate(names):
        # The first of the values that one call returns is the one that says what it is: the others are errors.
        value = values[place] if place < len(values) else None
        type_name = reading.value_type(value)
        if value is None or value.type != "func_literal":
            reading.bind(node, text_of(name), type_name if name.type == "identifier" else "")


def _returned(reading: Reading, node: Node) -> None:
    result = node.child_by_field_name("result")
    if result is not None and result.type == "parameter_list":
        first = first_child(result)
        result = first.child_by_field_name("type") if first is not None else None
    if type_name := _type_name(reading, result):
        reading.bind(node, "return", type_name)


_HANDLERS = {
    "import": _import,
    "call": _call,
    "made": _made,
    "embedded": _embedded,
    "values": read_children(_NAMED),
    "variable": _variable,
    "short": _short,
    "range": _range,
    "switched": _switched,
    "returned": _returned,
}

GO = ReferenceReader(_QUERY, _SYNTAX, _HANDLERS, frozenset())
