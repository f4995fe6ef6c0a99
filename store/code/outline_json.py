"""Outlines as they are kept: JSON, as lists without names, for there are many."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, TypeAlias

from store.code.source import Binding, CodeKind, Import, Outline, Reference, ReferenceKind, Span, Symbol

_Item: TypeAlias = Symbol | Import | Reference | Binding


def outline_to_json(outline: Outline) -> list[Any]:
    """Symbols, imports, references and bindings, each as the list of its fields."""
    return [
        [[*_values(symbol), *_values(symbol.span)] for symbol in outline.symbols],
        [_values(one) for one in outline.imports],
        [_values(one) for one in outline.references],
        [_values(one) for one in outline.bindings],
    ]


def outline_from_json(value: list[Any]) -> Outline:
    """What `outline_to_json` was given."""
    symbols, imports, references, bindings = value
    return Outline(
        symbols=tuple(map(_symbol, symbols)),
        imports=tuple(Import(*one) for one in imports),
        references=tuple(Reference(ReferenceKind(kind), *rest) for kind, *rest in references),
        bindings=tuple(Binding(*one) for one in bindings),
    )


def _values(item: _Item | Span) -> list[Any]:
    return [_plain(getattr(item, name)) for name in _NAMES[type(item)]]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _symbol(values: list[Any]) -> Symbol:
    count = len(_NAMES[Symbol])
    given = dict(zip(_NAMES[Symbol], values[:count], strict=True))
    return Symbol(
        span=Span(*values[count:]),
        **{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        | {"kind": CodeKind(given["kind"])},
    )


def _named(kind: type[Any]) -> Iterable[str]:
    return (field.name for field in fields(kind) if field.name != "span")


#: In the order of their definition.
_NAMES: dict[type[Any], tuple[str, ...]] = {
    kind: tuple(_named(kind)) for kind in (Symbol, Span, Import, Reference, Binding)
}
