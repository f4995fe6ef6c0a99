"""The definitions, imports and bindings of all files of a repository by their names: where references are looked up."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID, uuid5

from store.code.modules import ModuleFinder, folder_of, module_name
from store.code.source import CodeKind, Import, Outline, ReferenceKind, Symbol

T = TypeVar("T")

_CODE = UUID("6f1d6c2e-0b0f-4a0e-9c0f-6f3f8f4d1a57")

#: Languages whose files of one folder see each other's definitions.
_FOLDER_LANGUAGES = frozenset({"go", "java"})
#: Languages that call each other as if they were one.
_FAMILIES = {"c": "c", "cpp": "c", "javascript": "script", "typescript": "script", "tsx": "script"}
_MODULE_WORDS = ("mod", "module", "namespace")
#: Of equal names no more are kept than it takes to know that there are several.
_SEVERAL = 2
#: Imports that bind one name in one place, such as those of systems in the branches of an `if`.
_MAX_ALTERNATIVES = 16


def family_of(language: str) -> str:
    """Languages of one family refer to each other's definitions."""
    return _FAMILIES.get(language, language)


@dataclass(slots=True, eq=False)
class Definition:
    """A symbol, where it is, and the id of its node."""

    id: UUID
    file: "SourceFile"
    symbol: Symbol

    @property
    def is_class(self) -> bool:
        """Whether it has members."""
        return self.symbol.kind is CodeKind.CLASS

    @property
    def is_module(self) -> bool:
        """Whether it is a module in braces, of Rust or TypeScript: what is in it sees its names."""
        return self.is_class and any(f"{word} {self.symbol.name}" in self.symbol.signature for word in _MODULE_WORDS)


@dataclass(slots=True, eq=False)
class Unit:
    """What has names of its own at the top: a file, or all files of a folder where a folder is a package."""

    #: What imports find it by.
    path: str
    id: UUID
    module: str
    language: str
    files: list["SourceFile"] = field(default_factory=list)
    tops: dict[str, list[Definition]] = field(default_factory=lambda: defaultdict(list))


@dataclass(slots=True, eq=False)
class SourceFile:
    """A file's outline, by names."""

    id: UUID
    path: str
    language: str
    unit: Unit
    definitions: dict[str, list[Definition]]
    #: By scope and name.
    imports: dict[tuple[str, str], list[Import]]
    stars: list[Import]
    #: By scope and name; what is known of each, once.
    bindings: dict[tuple[str, str], list[str]]
    #: By class and attribute: the scope that it is assigned in, and what is known.
    attributes: dict[tuple[str, str], list[tuple[str, str]]]
    #: What classes inherit from, as written.
    bases: dict[str, list[str]]
    #: Of JavaScript and TypeScript: qualified names of what definitions are in, such as objects that are written out.
    holders: set[str]

    def definition_at(self, scope: str, line: int) -> Definition | None:
        """The definition that a scope means; of several of one name the one around the line."""
        found = self.definitions.get(scope)
        if not found:
            return None
        # They are in the order of the file, and none is in another of the same name.
        before = bisect_right(found, line, key=_start_line)
        if before == 0:
            return found[-1]
        nearest = found[bisect_left(found, _start_line(found[before - 1]), key=_start_line)]
        return nearest if line <= nearest.symbol.span.end_line else found[-1]

    def class_around(self, scope: str) -> str:
        """Qualified name of the class that a scope is in; empty when it is in none, or that is not in this file."""
        for _ in range(32):
            found = self.definitions.get(scope)
            if not scope or (found and found[-1].is_class):
                return scope
            scope = scope.rpartition(".")[0]
        return ""


class RepositoryIndex:
    """All files of a repository. Ids follow from the repository, the path and the name alone."""

    def __init__(self, repository: str, files: Iterable[tuple[str, str, Outline]]) -> None:
        self.repository = repository
        self.files: dict[str, SourceFile] = {}
        self.units: dict[str, Unit] = {}
        #: Methods, other functions and classes by family and name: at most two each.
        self.methods: dict[tuple[str, str], list[Definition]] = defaultdict(list)
        self.functions: dict[tuple[str, str], list[Definition]] = defaultdict(list)
        #: Definitions by family and qualified name: at most two each.
        self.qualified: dict[tuple[str, str], list[Definition]] = defaultdict(list)
        #: Of C and C++: by qualified name the file that defines it, None when several do; and names of namespaces.
        self.places: dict[str, SourceFile | None] = {}
        self.namespaces: set[str] = set()
        for path, language, outline in files:
            self._add(path, language, outline)
        self.finder = ModuleFinder((file.path, file.language) for file in self.files.values())
        paths = set(self.files)
        for unit in self.units.values():
            unit.module = module_name(unit.files[0].path, unit.language, paths)
        #: By the names of modules, where there is only one.
        self.modules = {unit.module: unit for unit in self.units.values() if unit.module}

    def id(self, *names: str) -> UUID:
        """The id of a node of this repository."""
        return uuid5(_CODE, "\0".join((self.repository, *names)))

    def _add(self, path: str, language: str, outline: Outline) -> None:
        folder = folder_of(path)
        key = f"{folder}/" if language in _FOLDER_LANGUAGES else path
        unit = self.units.get(key)
        if unit is None:
            unit = self.units[key] = Unit(key, self.id("module", key), "", language)
        file = SourceFile(self.id("file", path), path, language, unit, {}, {}, [], {}, {}, defaultdict(list), set())
        unit.files.append(file)
        self.files[path] = file
        for symbol in outline.symbols:
            self._define(file, symbol)
        for each in outline.imports:
            _add_import(file, each)
        for reference in outline.references:
            if reference.kind is ReferenceKind.INHERITS:
                file.bases[reference.scope].append(reference.target)
        _add_bindings(file, outline)

    def _define(self, file: SourceFile, symbol: Symbol) -> None:
        same = file.definitions.setdefault(symbol.qualified_name, [])
        number = (f"{len(same) + 1}",) if same else ()
        definition = Definition(self.id("definition", file.path, symbol.qualified_name, *number), file, symbol)
        same.append(definition)
        if not symbol.parent:
            file.unit.tops[symbol.name].append(definition)
        family = family_of(file.language)
        by_name = self.methods if symbol.kind is CodeKind.METHOD else self.functions
        for index, name in ((by_name, symbol.name), (self.qualified, symbol.qualified_name)):
            if len(index[family, name]) < _SEVERAL:
                index[family, name].append(definition)
        if family == "c":
            place = self.places.setdefault(symbol.qualified_name, file)
            self.places[symbol.qualified_name] = place if place is file else None
            _add_with_outer(self.namespaces, symbol.parent)
        elif family == "script":
            _add_with_outer(file.holders, symbol.parent)


def _start_line(definition: Definition) -> int:
    return definition.symbol.span.start_line


def _add_with_outer(names: set[str], name: str) -> None:
    while name and name not in names:
        names.add(name)
        name = name.rpartition(".")[0]


def _add_import(file: SourceFile, each: Import) -> None:
    if each.name == "*":
        file.stars.append(each)
    elif each.alias:
        same = file.imports.setdefault((each.scope, each.alias.partition(".")[0]), [])
        if len(same) < _MAX_ALTERNATIVES:
            same.append(each)


def _add_bindings(file: SourceFile, outline: Outline) -> None:
    for binding in outline.bindings:
        receiver, dot, attribute = binding.name.partition(".")
        if not dot:
            _once(file.bindings.setdefault((binding.scope, receiver), []), binding.type_name)
        elif owner := file.class_around(binding.scope):
            known = (binding.scope, binding.type_name)
            _once(file.attributes.setdefault((owner, attribute), []), known)


def _once(found: list[T], one: T) -> None:
    if one not in found and len(found) < 4:
        found.append(one)
