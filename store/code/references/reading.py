"""Collects what is read off a syntax tree, and says which definition it is in."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from tree_sitter import Node

from store.code.references.names import UNKNOWN, NameSyntax, dotted_name
from store.code.source import Binding, CodeKind, Import, Reference, ReferenceKind, Symbol

Handler: TypeAlias = Callable[["Reading", Node], None]


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceReader:
    """How a language is read: what to look for in the tree, as a query of tree-sitter, and what to make of it.

    Its patterns are of one node each: those that are open while their node is gone through take time by the square of
    the depth, and sources can be nested as deep as they are long.
    """

    query: str
    syntax: NameSyntax
    #: By the names that the query captures nodes by, in the order in which they are called.
    handlers: Mapping[str, Handler]
    #: What methods call the object that they are of.
    receivers: frozenset[str]


T = TypeVar("T")


class Scopes:
    """Which definition a byte of a file is in."""

    def __init__(self, symbols: Sequence[Symbol]) -> None:
        self._starts: list[int] = []
        self._owners: list[str] = []
        open_symbols: list[Symbol] = []
        for symbol in sorted(symbols, key=lambda one: (one.span.start_byte, -one.span.end_byte)):
            self._close(open_symbols, symbol.span.start_byte)
            self._mark(symbol.span.start_byte, symbol.qualified_name)
            open_symbols.append(symbol)
        self._close(open_symbols, None)
        self.parents = {symbol.qualified_name: symbol.parent for symbol in symbols}

    def at(self, byte: int) -> str:
        """Qualified name of the innermost definition around a byte; empty at the top."""
        place = bisect_right(self._starts, byte) - 1
        return self._owners[place] if place >= 0 else ""

    def around(self, scope: str) -> str:
        """Qualified name of the definition around a definition."""
        return self.parents.get(scope, "")

    def _close(self, open_symbols: list[Symbol], before: int | None) -> None:
        while open_symbols and (before is None or open_symbols[-1].span.end_byte <= before):
            closed = open_symbols.pop()
            self._mark(closed.span.end_byte, open_symbols[-1].qualified_name if open_symbols else "")

    def _mark(self, byte: int, owner: str) -> None:
        self._starts.append(byte)
        self._owners.append(owner)


class Reading:
    """What was found in a file so far."""

    def __init__(self, syntax: NameSyntax, symbols: Sequence[Symbol]) -> None:
        self.syntax = syntax
        self.scopes = Scopes(symbols)
        self.symbols = symbols
        self._imports: list[tuple[int, Import]] = []
        self._references: list[tuple[int, Reference]] = []
        self._values: list[tuple[int, Reference]] = []
        self._bindings: list[tuple[int, Binding]] = []
        #: Attributes of objects that are assigned to: what has their name is not a method.
        self.attributes: set[str] = set()
        #: Ids of nodes that are read with what is around them: calls that give a decorator, lists of bases.
        self.read: set[int] = set()
        #: Names that a scope assigns to, but that belong to another one: those of `global`, by scope.
        self.elsewhere: set[tuple[str, str]] = set()
        # Where names are seen from other files too.
        self._open_scopes = {""} | {symbol.qualified_name for symbol in symbols if symbol.kind is CodeKind.CLASS}

    def name(self, node: Node | None) -> str:
        """The name that an expression is; begins with `?` when it is none."""
        return dotted_name(node, self.syntax)

    def scope(self, node: Node) -> str:
        """The definition that a node is in; of a definition's own node itself."""
        return self.scopes.at(node.start_byte)

    def add_import(self, node: Node, module: str, name: str, alias: str) -> None:
        """An import; see Import."""
        found = Import(module, name, alias, node.start_point.row + 1, self.scope(node))
        self._imports.append((node.start_byte, found))

    def add(self, kind: ReferenceKind, node: Node, target: str, scope: str | None = None) -> None:
        """A reference, unless it names nothing: the result of a call that is called, an element of a list."""
        if target and not target.endswith(("()", "[]", UNKNOWN)):
            within = self.scope(node) if scope is None else scope
            self._references.append((node.start_byte, Reference(kind, target, within, node.start_point.row + 1)))

    def add_call(self, node: Node, target: str, scope: str | None = None) -> None:
        """A call. Of calls over many lines the line is that of the name."""
        self.add(ReferenceKind.CALLS, node, target, scope)

    def add_value(self, node: Node, scope: str | None = None) -> None:
        """A name that is passed on or annotated with. Kept when the file defines or imports it."""
        target = self.name(node).removesuffix("[]")
        if target and not target.startswith(UNKNOWN):
            within = self.scope(node) if scope is None else scope
            found = Reference(ReferenceKind.REFERENCES, target, within, node.start_point.row + 1)
            self._values.append((node.start_byte, found))

    def bind(self, node: Node, name: str, type_name: str, scope: str | None = None) -> None:
        """A binding; see Binding."""
        if name:
            within = self.scope(node) if scope is None else scope
            self._bindings.append((node.start_byte, Binding(name, type_name, within)))

    def is_seen_outside(self, node: Node) -> bool:
        """Whether names that are bound there are seen outside of what they are in: at the top, and in a class."""
        return self.scope(node) in self._open_scopes

    def value_type(self, node: Node | None) -> str:
        """What is known of a value that is assigned: see Binding.type_name."""
        name = self.name(node)
        if UNKNOWN in name or name.endswith("[]"):
            return ""
        return name if name.endswith("()") else f"={name}"

    def finish(
        self, receivers: frozenset[str]
    ) -> tuple[tuple[Import, ...], tuple[Reference, ...], tuple[Binding, ...]]:
        """All of it in the order of the file, without what nobody will ask for."""
        imports = _in_order(self._imports)
        known = {symbol.name for symbol in self.symbols} | {_head(found.alias) for found in imports}
        values = [found for found in self._values if self._may_be_definition(found[1].target, known, receivers)]
        references = _in_order(self._references + values)
        return imports, references, tuple(self._kept(references, known))

    def _may_be_definition(self, target: str, known: set[str], receivers: frozenset[str]) -> bool:
        head, _, member = target.partition(".")
        return head in known or (head in receivers and bool(member) and member not in self.attributes)

    def _kept(self, references: Sequence[Reference], known: set[str]) -> list[Binding]:
        """Bindings that say what a name is that is used, or that other files may ask for; equal ones once."""
        bindings = dict.fromkeys(_in_order(self._bindings))
        informative = known | {binding.name for binding in bindings if binding.type_name}
        literals = set(self.syntax.literals.values()) | {""}
        wanted = [
            binding
            for binding in bindings
            if "." not in binding.name
            or (_head(binding.type_name.removeprefix("=")) in informative and binding.type_name not in literals)
        ]
        used = {_head(reference.target) for reference in references}
        used |= {_head(binding.type_name.removeprefix("=")) for binding in wanted}
        return [binding for binding in wanted if self._is_asked_for(binding, used, literals)]

    def _is_asked_for(self, binding: Binding, used: set[str], literals: set[str]) -> bool:
        if "." in binding.name or binding.name == "return" or binding.name in used:
            return True
        return binding.scope in self._open_scopes and binding.type_name not in literals


def read_children(types: frozenset[str]) -> Handler:
    """What is handed on right inside of a node: arguments, elements, what is returned."""

    def read(reading: Reading, node: Node) -> None:
        for child in node.named_children:
            if child.type in types:
                reading.add_value(child)

    return read


def read_field(field_name: str, types: frozenset[str]) -> Handler:
    """What is handed on in a field of a node."""

    def read(reading: Reading, node: Node) -> None:
        child = node.child_by_field_name(field_name)
        if child is not None and child.type in types:
            reading.add_value(child)

    return read


def read_base(reading: Reading, node: Node) -> None:
    """What the class around it inherits from."""
    reading.add(ReferenceKind.INHERITS, node, reading.name(node))


def read_made(reading: Reading, node: Node) -> None:
    """A class whose object is made: a call of the class."""
    reading.add_call(node, reading.name(node))


def _in_order(found: list[tuple[int, T]]) -> tuple[T, ...]:
    return tuple(one for _, one in sorted(found, key=lambda pair: pair[0]))


def _head(target: str) -> str:
    return target.partition(".")[0].removesuffix("()").removesuffix("[]")
