"""Imports, calls, bases, decorators and bindings of Python."""

from collections.abc import Iterator

from tree_sitter import Node

from store.code.references.names import UNKNOWN, NameSyntax, first_child, text_of
from store.code.references.python_types import annotated_type
from store.code.references.reading import Reading, ReferenceReader, read_children, read_field
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

_MAX_CASE_NODES = 1_000

_QUERY = """
(case_clause) @case
(import_statement) @import
[(import_from_statement) (future_import_statement)] @import_from
(call) @call
(decorator) @decorator
(class_definition) @class
(function_definition) @function
(lambda_parameters) @parameters
[(assignment) (named_expression)] @assignment
[(augmented_assignment) (for_statement) (for_in_clause)] @target
(with_item) @with
(except_clause) @except
[(global_statement) (nonlocal_statement)] @global
[(argument_list) (list) (tuple) (set) (return_statement) (type) (binary_operator) (class_pattern)] @values
[(keyword_argument) (pair) (default_parameter) (typed_default_parameter)] @value
[(generic_type) (raise_statement)] @first
"""

#: Values are where a definition is handed on: arguments, results, elements of tables, defaults, annotations.
_NAMED = frozenset({"identifier", "attribute", "dotted_name"})
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
    scope = reading.scopes.around(reading.scope(node)) if node.id in reading.read else None
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
        reading.read.add(expression.id)
        expression = expression.child_by_field_name("function")
    elif expression is not None:
        # To apply it is to call it, where the definition is.
        reading.add_call(expression, reading.name(expression), reading.scopes.around(reading.scope(node)))
    if expression is not None:
        reading.add(ReferenceKind.REFERENCES, expression, reading.name(expression))


def _bases(reading: Reading, node: Node) -> None:
    bases = node.child_by_field_name("superclasses")
    if bases is not None:
        reading.read.add(bases.id)
    for base in bases.named_children if bases is not None else ():
        if base.type not in ("keyword_argument", "comment"):
            target = reading.name(base).removesuffix("[]")
            reading.add(ReferenceKind.INHERITS, base, target, reading.scope(node))


def _elsewhere(reading: Reading, node: Node) -> None:
    reading.elsewhere.update((reading.scope(node), text_of(child)) for child in node.named_children)


def _values(reading: Reading, node: Node) -> None:
    if node.id not in reading.read:
        _read_values(reading, node)


def _first(reading: Reading, node: Node) -> None:
    value = first_child(node)
    if value is not None and value.type in _NAMED:
        reading.add_value(value)


def _case(reading: Reading, node: Node) -> None:
    waiting = [child for child in node.named_children if child.type == "case_pattern"]
    for _ in range(_MAX_CASE_NODES):
        if not waiting:
            break
        found = waiting.pop()
        children = found.named_children
        if found.type == "identifier" or (found.type == "dotted_name" and len(children) == 1):
            reading.bind(found, text_of(found), "")
        elif found.type in ("class_pattern", "keyword_pattern"):
            waiting.extend(children[1:])  # behind the name of a class, or of an attribute
        elif found.type == "dict_pattern":
            waiting.extend(
                [*found.children_by_field_name("value"), *(c for c in children if c.type == "splat_pattern")]
            )
        elif found.type != "dotted_name":
            waiting.extend(children)


def _target(reading: Reading, node: Node) -> None:
    target = node.child_by_field_name("left")
    if target is not None:
        _unknown(reading, target)


def _unknown(reading: Reading, target: Node) -> None:
    for name in _names_in(target):
        reading.bind(target, text_of(name), "")


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
        _unknown(reading, target)
        return
    name = reading.name(target)
    annotation = node.child_by_field_name("type")
    value = node.child_by_field_name("right") or node.child_by_field_name("value")
    type_name = _annotation(annotation) if annotation is not None else ""
    if annotation is None or type_name.rpartition(".")[2] == "TypeAlias":
        type_name = _value_type(reading, value)
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


def _with(reading: Reading, node: Node) -> None:
    value, inner = _as(node.child_by_field_name("value"))
    if inner is not None and inner.type == "identifier":
        # What a context manager gives is most often itself, when it was made by a call.
        type_name = reading.value_type(value)
        reading.bind(node, text_of(inner), type_name if type_name.endswith("()") else "")
    elif inner is not None:
        _unknown(reading, inner)


def _except(reading: Reading, node: Node) -> None:
    caught = node.child_by_field_name("value")
    value, inner = _as(caught)
    if inner is not None:
        name = reading.name(value)
        reading.bind(node, text_of(inner), "" if UNKNOWN in name else name)
    value = value if inner is not None else caught
    if value is not None and value.type in _NAMED:
        reading.add_value(value)


def _as(node: Node | None) -> tuple[Node | None, Node | None]:
    """What `value as name` is of."""
    if node is None or node.type != "as_pattern":
        return None, None
    target = node.child_by_field_name("alias")
    return first_child(node), first_child(target) if target is not None else None


def _names_in(node: Node) -> Iterator[Node]:
    """Names that a pattern binds: not those of attributes and subscripts, which bind nothing."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if found.type == "identifier":
            yield found
        elif found.type not in ("attribute", "subscript", "call"):
            waiting.extend(found.named_children)


_read_values = read_children(_NAMED)

_HANDLERS = {
    "global": _elsewhere,
    "import": _import,
    "import_from": _import_from,
    "decorator": _decorator,
    "call": _call,
    "class": _bases,
    "values": _values,
    "value": read_field("value", _NAMED),
    "first": _first,
    "function": _function,
    "parameters": _parameters,
    "assignment": _assignment,
    "with": _with,
    "except": _except,
    "target": _target,
    "case": _case,
}

PYTHON = ReferenceReader(_QUERY, _SYNTAX, _HANDLERS, _RECEIVERS)
