"""Outlines as JSON, for the column that keeps them: lists instead of objects, and a scope is a number."""

from typing import Any

from store.code.source import Binding, CodeKind, Import, Outline, Reference, ReferenceKind, Span, Symbol
from store.events import Json

#: Add one when the shape changes, and to CUT_VERSION: outlines of another shape are read as empty ones.
VERSION = 1


def outline_to_json(outline: Outline) -> Json:
    """All of an outline; `outline_from_json` gives an equal one back."""
    scopes: dict[str, int] = {}

    def number(scope: str) -> int:
        return scopes.setdefault(scope, len(scopes))

    return {
        "version": VERSION,
        "symbols": [_symbol_to_json(symbol) for symbol in outline.symbols],
        "imports": [[each.module, each.name, each.alias, each.line, number(each.scope)] for each in outline.imports],
        "references": [[each.kind, each.target, number(each.scope), each.line] for each in outline.references],
        "bindings": [[each.name, each.type_name, number(each.scope)] for each in outline.bindings],
        # Last: the lists above say which there are.
        "scopes": list(scopes),
    }


def outline_from_json(value: Json) -> Outline:
    """The outline that was written. Of one of another version nothing, until the file is cut again."""
    if value.get("version") != VERSION:
        return Outline()
    scopes = value["scopes"]
    return Outline(
        symbols=tuple(_symbol_from_json(each) for each in value["symbols"]),
        imports=tuple(
            Import(module, name, alias, line, scopes[scope]) for module, name, alias, line, scope in value["imports"]
        ),
        references=tuple(
            Reference(_REFERENCE_KINDS[kind], target, scopes[scope], line)
            for kind, target, scope, line in value["references"]
        ),
        bindings=tuple(Binding(name, type_name, scopes[scope]) for name, type_name, scope in value["bindings"]),
    )


_REFERENCE_KINDS = {kind.value: kind for kind in ReferenceKind}


def _symbol_to_json(symbol: Symbol) -> list[object]:
    span = symbol.span
    return [
        symbol.kind,
        symbol.name,
        symbol.qualified_name,
        symbol.parent,
        [span.start_byte, span.end_byte, span.start_line, span.end_line],
        symbol.signature,
        symbol.docstring,
        list(symbol.parameters),
        list(symbol.decorators),
        list(symbol.bases),
        symbol.complexity,
    ]


def _symbol_from_json(value: list[Any]) -> Symbol:
    kind, name, qualified_name, parent, span, signature, docstring, parameters, decorators, bases, complexity = value
    return Symbol(
        CodeKind(kind),
        name,
        qualified_name,
        parent,
        Span(*span),
        signature,
        docstring,
        tuple(parameters),
        tuple(decorators),
        tuple(bases),
        complexity,
    )
