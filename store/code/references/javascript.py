"""Imports, calls, bases, decorators and bindings of JavaScript and TypeScript, with modules of both kinds."""

from collections.abc import Iterator

from tree_sitter import Node

from store.code.references.names import UNKNOWN, NameSyntax, first_child, pattern_names, text_of
from store.code.references.reading import Reading, ReferenceReader, read_base, read_children, read_field
from store.code.source import ReferenceKind

_SYNTAX = NameSyntax(
    names=frozenset(
        {"identifier", "this", "super", "type_identifier", "property_identifier", "private_property_identifier"}
    ),
    members={"member_expression": ("object", "property"), "nested_type_identifier": ("module", "name")},
    calls={"call_expression": "function", "new_expression": "constructor"},
    subscripts={"subscript_expression": "object"},
    wrappers={
        "parenthesized_expression": "",
        "await_expression": "",
        "non_null_expression": "",
        "as_expression": "",
        "generic_type": "",
        "type_annotation": "",
    },
)

_SHARED = """
(import_statement) @import
(export_statement) @export
(call_expression) @call
(new_expression) @new
(decorator) @decorator
(variable_declarator) @declarator
(assignment_expression) @assignment
[(catch_clause) (arrow_function)] @parameter_name
(for_in_statement) @loop
[(arguments) (array) (return_statement)] @values
(pair) @value
"""

_JAVASCRIPT_ONLY = """
(class_heritage) @bases
(formal_parameters) @parameters
(field_definition) @field
"""

_TYPESCRIPT_ONLY = """
[(extends_clause) (implements_clause) (extends_type_clause)] @bases
(public_field_definition) @field
[(required_parameter) (optional_parameter)] @parameter
[(function_declaration) (method_definition) (arrow_function)] @returned
(type_annotation) @type
"""

_NAMED = frozenset({"identifier", "member_expression"})
_TYPES = frozenset({"type_identifier", "nested_type_identifier", "generic_type"})
_PATTERN_NAMES = frozenset({"identifier", "shorthand_property_identifier_pattern"})
_DEFAULTS = frozenset({"right", "key"})
_NO_PATTERNS = frozenset({"member_expression", "subscript_expression", "decorator", "computed_property_name"})
_FUNCTIONS = frozenset({"arrow_function", "function_expression", "generator_function"})
_RECEIVERS = frozenset({"this"})
_ACCESS = frozenset({"accessibility_modifier", "override_modifier", "readonly"})


def _call(reading: Reading, node: Node) -> None:
    function = node.child_by_field_name("function")
    if function is not None and text_of(function) != "require":
        # A decorator is called where the definition is that it is of.
        scope = reading.scopes.around(reading.scope(node)) if node.id in reading.read else None
        reading.add_call(function.child_by_field_name("property") or function, reading.name(function), scope)


def _new(reading: Reading, node: Node) -> None:
    reading.add_call(node, reading.name(node.child_by_field_name("constructor")))


def _decorator(reading: Reading, node: Node) -> None:
    expression = first_child(node)
    # A field is no definition, and what its decorator is in is the class already.
    scope = reading.scope(node) if node.id in reading.read else reading.scopes.around(reading.scope(node))
    if expression is not None and expression.type == "call_expression":
        if node.id not in reading.read:
            reading.read.add(expression.id)
        expression = expression.child_by_field_name("function")
    else:
        reading.add_call(node, reading.name(expression), scope)
    reading.add(ReferenceKind.REFERENCES, node, reading.name(expression))


def _string(node: Node | None) -> str:
    return text_of(node).strip("\"'`")


def _import(reading: Reading, node: Node) -> None:
    module = _string(node.child_by_field_name("source"))
    if not module:
        return
    clause = first_child(node)
    if clause is None or clause.type != "import_clause":
        reading.add_import(node, module, "", "")
        return
    for child in clause.named_children:
        if child.type == "identifier":
            reading.add_import(child, module, "default", text_of(child))
        elif child.type == "namespace_import":
            reading.add_import(child, module, "", text_of(first_child(child)))
        else:
            for name, alias in _specifiers(child):
                reading.add_import(child, module, name, alias or name)


def _specifiers(node: Node) -> Iterator[tuple[str, str]]:
    for child in node.named_children:
        if child.type in ("import_specifier", "export_specifier"):
            yield text_of(child.child_by_field_name("name")), text_of(child.child_by_field_name("alias"))


def _export(reading: Reading, node: Node) -> None:
    source = _string(node.child_by_field_name("source"))
    children = {child.type: child for child in node.children}
    clause = children.get("export_clause")
    for name, alias in _specifiers(clause) if clause is not None else ():
        if source:
            reading.add_import(node, source, name, alias or name)
        elif alias and alias != name:
            reading.bind(node, alias, f"={name}", "")
    if source and "*" in children:
        reading.add_import(node, source, "*", "")
    if "default" in children:
        declared = node.child_by_field_name("declaration") or node.child_by_field_name("value")
        name = text_of(declared.child_by_field_name("name")) if declared is not None else ""
        name = name or reading.name(declared)
        if not name.startswith(UNKNOWN) and not name.endswith("()"):
            reading.bind(node, "default", f"={name}", "")


def _field(reading: Reading, node: Node) -> None:
    name = text_of(node.child_by_field_name("name") or node.child_by_field_name("property"))
    if type_name := _type_of(reading, node):
        reading.bind(node, name, type_name)
    value = node.child_by_field_name("value")
    if value is None or value.type not in _FUNCTIONS:
        reading.read.update(child.id for child in node.children_by_field_name("decorator"))


def _bases(reading: Reading, node: Node) -> None:
    for child in node.named_children:
        if child.type in _NAMED | _TYPES:
            read_base(reading, child)


def _parameters(reading: Reading, node: Node) -> None:
    for child in node.named_children:
        _bind_pattern(reading, child)


def _bind_pattern(reading: Reading, pattern: Node) -> None:
    for name in pattern_names(pattern, _PATTERN_NAMES, _DEFAULTS, _NO_PATTERNS):
        reading.bind(name, text_of(name), "")


def _parameter_name(reading: Reading, node: Node) -> None:
    name = node.child_by_field_name("parameter")
    if name is not None:
        _bind_pattern(reading, name)


def _loop(reading: Reading, node: Node) -> None:
    name = node.child_by_field_name("left")
    if name is not None:
        _bind_pattern(reading, name)


def _returned(reading: Reading, node: Node) -> None:
    returned = node.child_by_field_name("return_type")
    if returned is not None and (type_name := _annotated(reading, returned)):
        reading.bind(node, "return", type_name)


def _annotated(reading: Reading, node: Node | None) -> str:
    name = reading.name(node)
    return "" if UNKNOWN in name else name


def _type_of(reading: Reading, node: Node) -> str:
    annotation = node.child_by_field_name("type")
    if annotation is not None:
        return _annotated(reading, annotation)
    return reading.value_type(node.child_by_field_name("value"))


def _declarator(reading: Reading, node: Node) -> None:
    target, value = node.child_by_field_name("name"), node.child_by_field_name("value")
    if target is None:
        return
    if value is not None and (module := _required(value)):
        if target.type == "identifier":
            reading.add_import(target, module, "", text_of(target))
        for child in target.named_children if target.type == "object_pattern" else ():
            name = text_of(child.child_by_field_name("key") or child)
            reading.add_import(child, module, name, text_of(child.child_by_field_name("value") or child))
    elif target.type == "identifier":
        # A function by name is a definition, not a variable.
        if value is None or (value.type not in _FUNCTIONS and value.type != "class"):
            reading.bind(node, text_of(target), _type_of(reading, node))
    else:
        _bind_pattern(reading, target)


def _required(value: Node) -> str:
    """The module of `require("…")`."""
    function, arguments = value.child_by_field_name("function"), value.child_by_field_name("arguments")
    if value.type != "call_expression" or text_of(function) != "require" or arguments is None:
        return ""
    argument = first_child(arguments)
    return _string(argument) if argument is not None and argument.type == "string" else ""


def _assignment(reading: Reading, node: Node) -> None:
    name = reading.name(node.child_by_field_name("left"))
    value = node.child_by_field_name("right")
    type_name = reading.value_type(value)
    if name in ("module.exports", "exports.default"):
        if type_name.startswith("="):
            reading.bind(node, "default", type_name, "")
    elif name.startswith("this.") and name.count(".") == 1:
        if value is not None and "function" not in value.type:
            reading.attributes.add(name[5:])
        if type_name:
            reading.bind(node, name, type_name)


def _parameter(reading: Reading, node: Node) -> None:
    pattern = node.child_by_field_name("pattern")
    if pattern is None:
        return
    if pattern.type != "identifier":
        _bind_pattern(reading, pattern)
        return
    name, type_name = text_of(pattern), _type_of(reading, node)
    reading.bind(node, name, type_name)
    if type_name and any(child.type in _ACCESS for child in node.children):
        # `constructor(private readonly client: Client)` is an attribute too.
        reading.bind(node, f"this.{name}", type_name)


_HANDLERS = {
    "import": _import,
    "export": _export,
    # What is a decorator says where it is called, and a field where its decorators are.
    "field": _field,
    "decorator": _decorator,
    "call": _call,
    "new": _new,
    "bases": _bases,
    "values": read_children(_NAMED),
    "value": read_field("value", _NAMED),
    "type": read_children(_TYPES),
    "declarator": _declarator,
    "assignment": _assignment,
    "parameter": _parameter,
    "parameters": _parameters,
    "parameter_name": _parameter_name,
    "loop": _loop,
    "returned": _returned,
}

JAVASCRIPT = ReferenceReader(_SHARED + _JAVASCRIPT_ONLY, _SYNTAX, _HANDLERS, _RECEIVERS)
TYPESCRIPT = ReferenceReader(_SHARED + _TYPESCRIPT_ONLY, _SYNTAX, _HANDLERS, _RECEIVERS)
