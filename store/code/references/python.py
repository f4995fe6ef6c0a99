"""Imports, calls, bases, decorators and bindings of Python."""

from collections.abc import Iterator

from tree_sitter import Node

from store.code.references.names import UNKNOWN, NameSyntax, first_child, text_of
from store.code.references.python_types import annotated_type
from store.code.references.reading import Reading, ReferenceReader, read_value
from store.code.source import ReferenceKind

_SYNTAX = NameSyntax(
    names=frozenset({"identifier", "dotted_name"}),
    members={"attribute": ("object", "attribute")},
    calls={"call": "function"},
    subscripts={"subscript": "value", "generic_type": ""},
    wrappers={"parenthesized_expression": "", "await": ""},
    literals={
        "string": "str()",
        "concatenated_string": "str()",
        "list": "list()",
        "list_comprehension": "list()",
        "dictionary": "dict()",
        "dictionary_comprehension": "dict()",
        "set": "set()",
        "set_comprehension": "set()",
        "integer": "int()",
        "float": "float()",
    },
)

# Values are where a definition is handed on: arguments, results, elements of tables, defaults, annotations.
_NAMED = "[(identifier) (attribute)]"
_QUERY = f"""
(import_statement) @import
(import_from_statement) @import_from
(future_import_statement) @import_from
(call) @call
(decorator) @decorator
(class_definition) @class
(function_definition) @function
(lambda_parameters) @parameters
(assignment) @assignment
(named_expression) @assignment
(augmented_assignment left: (_) @target)
(as_pattern) @as
(for_statement left: (_) @target)
(for_in_clause left: (_) @target)
(global_statement) @global
(nonlocal_statement) @global
(call arguments: (argument_list {_NAMED} @value))
(keyword_argument value: {_NAMED} @value)
(pair value: {_NAMED} @value)
(list {_NAMED} @value)
(tuple {_NAMED} @value)
(set {_NAMED} @value)
(return_statement {_NAMED} @value)
(default_parameter value: {_NAMED} @value)
(typed_default_parameter value: {_NAMED} @value)
(type {_NAMED} @value)
(type (binary_operator {_NAMED} @value))
(generic_type (identifier) @value)
(except_clause value: {_NAMED} @value)
(except_clause value: (as_pattern {_NAMED} @value))
(raise_statement . {_NAMED} @value)
(class_pattern (dotted_name) @value)
"""

_RECEIVERS = frozenset({"self", "cls", "mcs"})


def _import(reading: Reading, node: Node) -> None:
    for child in node.children_by_field_name("name"):
        if child.type == "aliased_import":
            module = _name(child.child_by_field_name("name"))
            reading.add_import(child, module, "", text_of(child.child_by_field_name("alias")))
        else:
            reading.add_import(child, _name(child), "", _name(child))


def _import_from(reading: Reading, node: Node) -> None:
    module = _name(node.child_by_field_name("module_name")) or "__future__"
    for child in node.named_children:
        if child.type == "wildcard_import":
            reading.add_import(child, module, "*", "")
    for child in node.children_by_field_name("name"):
        if child.type == "aliased_import":
            name = _name(child.child_by_field_name("name"))
            reading.add_import(child, module, name, text_of(child.child_by_field_name("alias")))
        else:
            reading.add_import(child, module, _name(child), _name(child))


def _name(node: Node | None) -> str:
    # Dots may have white space around them.
    return "".join(text_of(node).split())


def _call(reading: Reading, node: Node) -> None:
    function = node.child_by_field_name("function")
    if function is None:
        return
    target = reading.name(function)
    if target == "super":
        return  # not a call of what it gives: the method that is called on that is
    # The decorator that a definition has is used by the definition, but called where the definition is.
    in_decorator = node.parent is not None and node.parent.type == "decorator"
    scope = reading.scopes.around(reading.scope(node)) if in_decorator else None
    reading.add_call(_last_name(function), _class_of_self(function, target), scope)


def _last_name(function: Node) -> Node:
    # A chain of calls over many lines: the line is that of the name which is called. The scope is the same.
    return function.child_by_field_name("attribute") or function


def _class_of_self(function: Node, target: str) -> str:
    """`type(self).make` is `cls.make`."""
    if not target.startswith("type()."):
        return target
    holder = function.child_by_field_name("object")
    return "cls" + target[6:] if holder is not None and text_of(holder) == "type(self)" else target


def _decorator(reading: Reading, node: Node) -> None:
    expression = first_child(node)
    if expression is not None and expression.type == "call":
        expression = expression.child_by_field_name("function")
    if expression is not None:
        reading.add(ReferenceKind.REFERENCES, expression, reading.name(expression))


def _bases(reading: Reading, node: Node) -> None:
    bases = node.child_by_field_name("superclasses")
    for base in bases.named_children if bases is not None else ():
        if base.type not in ("keyword_argument", "comment"):
            target = reading.name(base).removesuffix("[]")
            reading.add(ReferenceKind.INHERITS, base, target, reading.scope(node))


def _elsewhere(reading: Reading, node: Node) -> None:
    reading.elsewhere.update((reading.scope(node), text_of(child)) for child in node.named_children)


def _target(reading: Reading, node: Node) -> None:
    for name in _names_in(node):
        reading.bind(node, text_of(name), "")


def _function(reading: Reading, node: Node) -> None:
    parameters = node.child_by_field_name("parameters")
    if parameters is not None:
        _parameters(reading, parameters)
    returned = node.child_by_field_name("return_type")
    if returned is not None and (type_name := _annotation(returned)):
        reading.bind(node, "return", type_name)


def _parameters(reading: Reading, node: Node) -> None:
    for child in node.named_children:
        named = child if child.type == "identifier" else child.child_by_field_name("name") or first_child(child)
        if named is None:
            continue
        annotation = child.child_by_field_name("type")
        if named.type != "identifier":
            # *args and **kwargs: what is known is the type of their elements.
            named, annotation = first_child(named) or named, None
        if named.type == "identifier" and (name := text_of(named)) not in _RECEIVERS:
            reading.bind(child, name, _annotation(annotation) if annotation is not None else "")


def _annotation(node: Node) -> str:
    return annotated_type(node.text.decode("utf-8", "replace") if node.text else "")


def _assignment(reading: Reading, node: Node) -> None:
    target = node.child_by_field_name("left") or node.child_by_field_name("name")
    if target is None:
        return
    if target.type not in ("identifier", "attribute"):
        _target(reading, target)
        return
    name = reading.name(target)
    annotation = node.child_by_field_name("type")
    value = node.child_by_field_name("right") or node.child_by_field_name("value")
    type_name = _annotation(annotation) if annotation is not None else _value_type(reading, value)
    if (reading.scope(node), name) in reading.elsewhere:
        reading.bind(node, name, type_name, "")
    elif target.type == "identifier":
        reading.bind(node, name, type_name)
    elif name.count(".") == 1 and name.startswith(("self.", "cls.")):
        reading.attributes.add(name.partition(".")[2])
        if type_name not in ("", "None"):
            reading.bind(node, name, type_name)


def _value_type(reading: Reading, value: Node | None) -> str:
    # `given or Default()`, `given if given else Default()`: the default is the one that is named.
    for _ in range(4):
        if value is None:
            return ""
        if value.type in ("boolean_operator", "assignment"):
            value = value.child_by_field_name("right")
        elif value.type == "none":
            return "None"
        else:
            break
    type_name = reading.value_type(value)
    return type_name if UNKNOWN not in type_name else ""


def _as(reading: Reading, node: Node) -> None:
    target = node.child_by_field_name("alias")
    value = first_child(node)
    inner = first_child(target) if target is not None else None
    if inner is None:
        return
    if inner.type != "identifier":
        _target(reading, inner)
        return
    if node.parent is not None and node.parent.type == "except_clause":
        caught = reading.name(value)
        reading.bind(node, text_of(inner), "" if UNKNOWN in caught else caught)
    else:
        type_name = reading.value_type(value)
        reading.bind(node, text_of(inner), type_name if type_name.endswith("()") else "")


def _names_in(node: Node) -> Iterator[Node]:
    """Names that a pattern binds: not those of attributes and subscripts, which bind nothing."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if found.type == "identifier":
            yield found
        elif found.type not in ("attribute", "subscript", "call"):
            waiting.extend(found.named_children)


_HANDLERS = {
    "global": _elsewhere,
    "import": _import,
    "import_from": _import_from,
    "call": _call,
    "decorator": _decorator,
    "class": _bases,
    "value": read_value,
    "function": _function,
    "parameters": _parameters,
    "assignment": _assignment,
    "as": _as,
    "target": _target,
}

PYTHON = ReferenceReader(_QUERY, _SYNTAX, _HANDLERS, _RECEIVERS)
