"""The graph of a repository: nodes of files and definitions, and edges for what they import, call and inherit from."""

import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

import structlog

from store.code.language_rules import NO_RULES, RULES
from store.code.meaning import Meaning, Sort
from store.code.meanings import Meanings
from store.code.repository_index import Definition, RepositoryIndex, SourceFile, family_of
from store.code.source import CodeKind, Import, Outline, Reference, ReferenceKind
from store.graph import CODE_NAMESPACE, MAX_LABEL, Edge, EdgeConfidence, Node, edge_id

#: Of the lines of an edge the first are kept: generated code calls the same thing thousands of times.
MAX_LINES = 200

_NODE_TYPES = {CodeKind.CLASS: "class", CodeKind.FUNCTION: "function", CodeKind.METHOD: "method"}
_RANKS = {one: rank for rank, one in enumerate(EdgeConfidence)}


@dataclass(frozen=True, slots=True)
class Resolved:
    """All nodes and edges of a repository."""

    nodes: list[Node]
    edges: list[Edge]
    #: Paths of files of which, by a fault of ours, no calls and imports are among them.
    unresolved: list[str]


def resolve(repository: str, files: Iterable[tuple[str, str, Outline]]) -> Resolved:
    """The graph of files, each with its path and language. They are iterated over twice: first for what they define.

    The same files give the same ids, whatever their order. A fault of ours costs the file alone that it shows in.
    """
    was_collecting = gc.isenabled()
    # Nearly all that is made here stays, in some hundred thousand objects, and going through them for garbage again and
    # again was a third of the time.
    gc.disable()
    try:
        index = RepositoryIndex(repository, files)
        resolver = _Resolver(index)
        resolver.add_definitions()
        unresolved: list[str] = []
        for path, _, outline in files:
            try:
                resolver.add_references(index.files[path], outline)
            except Exception:
                structlog.get_logger("code").exception("a file cannot be resolved", repository=repository, path=path)
                unresolved.append(path)
        return Resolved(resolver.nodes, resolver.edges, unresolved)
    finally:
        if was_collecting:
            gc.enable()


class _Resolver:
    """Makes nodes and edges. The edges of a file are put together while it is read: each begins in one file."""

    def __init__(self, index: RepositoryIndex) -> None:
        self._index = index
        self._meanings = Meanings(index)
        self._namespace = f"{CODE_NAMESPACE}{index.repository}"
        self._externals: dict[str, UUID] = {}
        #: By language family and label, where that is the same everywhere; None where several definitions have it.
        self._by_label: dict[tuple[str, str], Definition | None] = {}
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []

    def add_definitions(self) -> None:
        """Nodes of files, modules and definitions, and what contains what."""
        for unit in self._index.units.values():
            if unit.module:
                self._node(
                    unit.id, "module", unit.module, {"name": unit.module.rpartition(".")[2], "language": unit.language}
                )
                outer = self._index.modules.get(unit.module.rpartition(".")[0])
                if outer is not None and outer is not unit:
                    self._contains(outer.id, unit.id)
        for file in self._index.files.values():
            name = file.path.rpartition("/")[2]
            self._node(file.id, "file", file.path, {"path": file.path, "name": name, "language": file.language})
            if file.unit.module:
                self._contains(file.id, file.unit.id)
            for same in file.definitions.values():
                for definition in same:
                    self._add_definition(file, definition)

    def _add_definition(self, file: SourceFile, definition: Definition) -> None:
        symbol = definition.symbol
        label = f"{file.unit.module}.{symbol.qualified_name}" if file.unit.module else symbol.qualified_name
        properties = {
            "path": file.path,
            "name": symbol.name,
            "qualified_name": symbol.qualified_name,
            "language": file.language,
            "start_line": symbol.span.start_line,
            "end_line": symbol.span.end_line,
            "signature": symbol.signature[:MAX_LABEL],
        }
        self._node(definition.id, _NODE_TYPES.get(symbol.kind, "class"), label, properties)
        if RULES.get(file.language, NO_RULES).has_full_names:
            key = (family_of(file.language), label)
            self._by_label[key] = None if key in self._by_label else definition
        parent = file.definition_at(symbol.parent, symbol.span.start_line) if symbol.parent else None
        if parent is not None and parent is not definition:
            self._contains(parent.id, definition.id)
            return
        self._contains(file.id, definition.id)
        if symbol.parent and (own := self._meanings.class_named(file, symbol.parent)):
            self._contains(own.id, definition.id)
        elif file.unit.module:
            self._contains(file.unit.id, definition.id)

    def add_references(self, file: SourceFile, outline: Outline) -> None:
        """Edges that begin in a file."""
        found: dict[tuple[UUID, str, UUID], tuple[EdgeConfidence, set[int]]] = {}
        for each in outline.imports:
            for target, confidence in self._imported(file, each):
                _add(found, (file.id, "imports", target), confidence, each.line)
        hits: dict[tuple[ReferenceKind, str, str], tuple[UUID, EdgeConfidence] | None] = {}
        for reference in outline.references:
            # The same name in the same place means the same.
            key = (reference.kind, reference.scope, reference.target)
            if key not in hits:
                hits[key] = self._referred(file, reference)
            if (hit := hits[key]) is not None:
                source = file.definition_at(reference.scope, reference.line)
                _add(found, (source.id if source else file.id, reference.kind, hit[0]), hit[1], reference.line)
        for (source_id, kind, target_id), (confidence, lines) in found.items():
            self._edge(source_id, kind, target_id, confidence, {"lines": sorted(lines)})

    def _imported(self, file: SourceFile, each: Import) -> Iterator[tuple[UUID, EdgeConfidence]]:
        module = self._meanings.module(file, each)
        meaning = self._meanings.imported(file, each) if each.name not in ("", "*") else module
        if meaning.definition is not None and meaning.sort is Sort.DEFINITION:
            yield meaning.definition.id, _confidence(meaning)
        if meaning.sort is Sort.MODULE:
            # A submodule: what is imported is it, not the package that it is in.
            module = meaning
        target = module.unit
        if target is not None and target.path.endswith("/") and meaning.definition is not None:
            yield meaning.definition.file.id, _confidence(meaning)
        elif target is not None and target is not file.unit:
            yield (target.id if target.path.endswith("/") else target.files[0].id), _confidence(module)
        elif target is None and module.definition is not None:
            yield module.definition.file.id, _confidence(module)
        elif target is None:
            yield self._external(module.label or each.module), EdgeConfidence.UNRESOLVED

    def _referred(self, file: SourceFile, reference: Reference) -> tuple[UUID, EdgeConfidence] | None:
        meaning = self._meanings.of(
            file, reference.scope, reference.target, is_called=reference.kind is ReferenceKind.CALLS
        )
        found = self._definition(meaning, reference.kind)
        if found is None and reference.kind is ReferenceKind.CALLS:
            found = self._only_one(file, reference.target, meaning)
        if found is not None:
            definition, confidence = found
            # What a definition says of itself, or of what it is in, is no news.
            own = definition.file is file and f"{reference.scope}.".startswith(f"{definition.symbol.qualified_name}.")
            if reference.kind is not ReferenceKind.CALLS and own:
                return None
            return definition.id, confidence
        if reference.kind is ReferenceKind.REFERENCES:
            return None
        if reference.kind is ReferenceKind.INHERITS and meaning is not None and meaning.label == "builtins.object":
            return None
        is_name = meaning is not None and meaning.sort is Sort.OUTSIDE and not meaning.is_value
        label = meaning.label if meaning is not None and is_name else ""
        if named := self._by_label.get((family_of(file.language), label)):
            return named.id, EdgeConfidence.INFERRED
        return self._external(label or reference.target.rpartition(".")[2]), EdgeConfidence.UNRESOLVED

    def _definition(self, meaning: Meaning | None, kind: ReferenceKind) -> tuple[Definition, EdgeConfidence] | None:
        if meaning is None or meaning.definition is None:
            return None
        if meaning.sort is Sort.DEFINITION:
            return meaning.definition, _confidence(meaning)
        if kind is not ReferenceKind.CALLS:
            return None
        if meaning.sort is Sort.PARENT:
            parent = self._meanings.parent_of(meaning.definition)
            return (parent, _confidence(meaning)) if parent else None
        called = self._meanings.member(meaning, "__call__")
        return self._definition(called, kind) if called.sort is Sort.DEFINITION else None

    def _only_one(
        self, file: SourceFile, target: str, meaning: Meaning | None
    ) -> tuple[Definition, EdgeConfidence] | None:
        """What is called by a name that only one definition of the repository has."""
        rules = RULES.get(file.language, NO_RULES)
        _, dot, name = target.rpartition(".")
        if meaning is not None and (meaning.sort is not Sort.UNKNOWN or not dot):
            return None
        if dot:
            by_name = self._index.methods
            if name in rules.common_members or (name.startswith("__") and name.endswith("__")):
                return None
        elif rules.guesses_functions:
            by_name = self._index.functions
        else:
            return None
        found = by_name.get((family_of(file.language), name), ())
        if len(found) != 1 or (_is_test(found[0].file.path) and not _is_test(file.path)):
            return None
        return found[0], EdgeConfidence.INFERRED

    def _external(self, label: str) -> UUID:
        label = label[:MAX_LABEL]
        node_id = self._externals.get(label)
        if node_id is None:
            node_id = self._externals[label] = self._index.id("external", label)
            self._node(node_id, "external", label, {"name": label.rpartition(".")[2]})
        return node_id

    def _node(self, node_id: UUID, node_type: str, label: str, properties: dict[str, object]) -> None:
        self.nodes.append(Node(node_id, node_type, label[:MAX_LABEL], self._namespace, properties))

    def _contains(self, source_id: UUID, target_id: UUID) -> None:
        self._edge(source_id, "contains", target_id, EdgeConfidence.RESOLVED, {})

    def _edge(
        self, source_id: UUID, kind: str, target_id: UUID, confidence: EdgeConfidence, properties: dict[str, object]
    ) -> None:
        found = edge_id(source_id, target_id, kind, self._namespace)
        self.edges.append(Edge(found, source_id, target_id, str(kind), self._namespace, confidence, properties))


def _is_test(path: str) -> bool:
    """Programs do not call their tests."""
    return any(part.startswith("test") for part in path.split("/"))


def _confidence(meaning: Meaning) -> EdgeConfidence:
    return EdgeConfidence.RESOLVED if meaning.sure else EdgeConfidence.INFERRED


def _add(
    found: dict[tuple[UUID, str, UUID], tuple[EdgeConfidence, set[int]]],
    key: tuple[UUID, str, UUID],
    confidence: EdgeConfidence,
    line: int,
) -> None:
    known = found.get(key)
    if known is None:
        found[key] = (confidence, {line})
        return
    if len(known[1]) < MAX_LINES:
        known[1].add(line)
    if _RANKS[confidence] > _RANKS[known[0]]:
        found[key] = (confidence, known[1])
