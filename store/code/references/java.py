"""Imports, calls, supertypes, annotations and bindings of Java."""

from tree_sitter import Node

from store.code.references.names import UNKNOWN, NameSyntax, first_child, text_of
from store.code.references.reading import Reading, ReferenceReader, read_base, read_children, read_made
from store.code.source import ReferenceKind

_SYNTAX = NameSyntax(
    names=frozenset({"identifier", "type_identifier", "this", "super", "scoped_identifier", "scoped_type_identifier"}),
    members={"method_invocation": ("object", "name"), "field_access": ("object", "field")},
    calls={"object_creation_expression": "type"},
    method_calls=frozenset({"method_invocation"}),
    subscripts={"array_access": "array"},
    wrappers={"parenthesized_expression": "", "generic_type": "", "cast_expression": "value"},
)

_QUERY = """
(import_declaration) @import
(method_invocation) @call
(object_creation_expression) @made
(explicit_constructor_invocation) @constructed
(superclass) @bases
(type_list) @bases
[(marker_annotation) (annotation)] @annotation
[(field_declaration) (local_variable_declaration)] @variable
[(formal_parameter) (catch_formal_parameter) (enhanced_for_statement) (resource)] @parameter
(method_declaration) @returned
(method_reference) @method_reference
(argument_list) @values
"""

_NAMED = frozenset({"identifier", "field_access"})


def _made(reading: Reading, node: Node) -> None:
    made = node.child_by_field_name("type")
    if made is not None:
        read_made(reading, made)


def _constructed(reading: Reading, node: Node) -> None:
    constructor = node.child_by_field_name("constructor")
    if constructor is not None:
        read_made(reading, constructor)


def _bases(reading: Reading, node: Node) -> None:
    for child in node.named_children:
        read_base(reading, child)


def _call(reading: Reading, node: Node) -> None:
    reading.add_call(node.child_by_field_name("name") or node, reading.name(node).removesuffix("()"))


def _annotation(reading: Reading, node: Node) -> None:
    reading.add(ReferenceKind.REFERENCES, node, reading.name(node.child_by_field_name("name")))


def _variable(reading: Reading, node: Node) -> None:
    given = node.child_by_field_name("type")
    for declarator in node.children_by_field_name("declarator"):
        name, value = declarator.child_by_field_name("name"), declarator.child_by_field_name("value")
        if value is None or value.type != "lambda_expression":
            reading.bind(declarator, text_of(name), _type_name(reading, given, value))


def _parameter(reading: Reading, node: Node) -> None:
    name = text_of(node.child_by_field_name("name"))
    reading.bind(node, name, _type_name(reading, node.child_by_field_name("type")))


def _returned(reading: Reading, node: Node) -> None:
    if type_name := _type_name(reading, node.child_by_field_name("type")):
        reading.bind(node, "return", type_name)


def _import(reading: Reading, node: Node) -> None:
    path = first_child(node)
    whole = text_of(path)
    if any(child.type == "asterisk" for child in node.children):
        reading.add_import(node, whole, "*", "")
    elif whole:
        module, _, name = whole.rpartition(".")
        reading.add_import(node, module, name, name)


def _type_name(reading: Reading, node: Node | None, value: Node | None = None) -> str:
    name = reading.name(node)
    if name == "var":
        return reading.value_type(value)
    return "" if UNKNOWN in name else name


def _method_reference(reading: Reading, node: Node) -> None:
    children = node.named_children
    if len(children) == 2:
        reading.add(ReferenceKind.REFERENCES, node, f"{reading.name(children[0])}.{text_of(children[1])}")


_HANDLERS = {
    "import": _import,
    "call": _call,
    "made": _made,
    "constructed": _constructed,
    "bases": _bases,
    "annotation": _annotation,
    "method_reference": _method_reference,
    "values": read_children(_NAMED),
    "variable": _variable,
    "parameter": _parameter,
    "returned": _returned,
}

JAVA = ReferenceReader(_QUERY, _SYNTAX, _HANDLERS, frozenset({"this"}))
