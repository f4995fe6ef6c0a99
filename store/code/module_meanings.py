"""Which module of the repository an import means, or that it means none."""

from collections.abc import Callable

from store.code.meaning import Meaning, Sort
from store.code.modules import rust_parts
from store.code.repository_index import RepositoryIndex, SourceFile, Unit, family_of


class ModuleMeanings:
    """Modules by what files call them. `member` says what a name of a module means."""

    def __init__(self, index: RepositoryIndex, member: Callable[[Meaning, str], Meaning]) -> None:
        self._index = index
        self._member = member

    def named(self, file: SourceFile, module: str, scope: str = "") -> Meaning:  # noqa: PLR0911 - one a language
        """The module that an import of a file names."""
        finder = self._index.finder
        match family_of(file.language):
            case "python":
                found = finder.python(module, file.path)
                label = finder.package_of(module, file.path) if module.startswith(".") else module
                return self._unit(found, label)
            case "script":
                return self._unit(finder.script(module, file.path), module)
            case "go":
                return self._unit(_as_folder(finder.go(module)), module.replace("/", "."))
            case "java":
                found = _as_folder(finder.java(module))
                outer, _, name = module.rpartition(".")
                if found is None and outer and (outer_found := _as_folder(finder.java(outer))):
                    return self._member(self._unit(outer_found, outer), name)
                return self._unit(found, module)
            case "rust":
                return self.rust_path(file, module.split("."), scope)
            case "c":
                found = finder.header(module, file.path)
                if found is None and module in self._index.namespaces:
                    return Meaning(Sort.NAMESPACE, unit=file.unit, label=module)
                return self._unit(found, module)
        return Meaning(Sort.OUTSIDE, label=module)

    def below(self, unit: Unit, name: str) -> Meaning | None:
        """The module of that name in a package or a module."""
        found = None
        if unit.language == "python" and unit.path.endswith("__init__.py"):
            found = self._index.finder.python(f".{name}", unit.path)
        elif unit.language == "rust":
            found = self._index.finder.rust([*rust_parts(unit.path), name], unit.path)
        return self._unit(found, "") if found else None

    def _unit(self, found: tuple[str, bool] | None, label: str) -> Meaning:
        # A file of a language whose packages are folders is no module by itself, whoever names it.
        unit = self._index.units.get(found[0]) if found else None
        if found is None or unit is None:
            return Meaning(Sort.OUTSIDE, label=label)
        return Meaning(Sort.MODULE, unit=unit, sure=found[1])

    def rust_path(self, file: SourceFile, parts: list[str], scope: str) -> Meaning:
        """What a path of Rust means that begins with `crate`, `self`, `super` or a module below."""
        own, inner = rust_parts(file.path), _modules_around(file, scope)
        place, rest = [*own, *inner], parts
        if rest[0] == "crate":
            place, rest = [], rest[1:]
        elif rest[0] in ("self", "super"):
            rest = rest[rest[0] == "self" :]
            while rest and rest[0] == "super":
                place, rest = place[:-1], rest[1:]
        elif ".".join([*inner, rest[0]]) not in file.definitions:
            place = own
        # A module in braces is below its file.
        base, rest = place[: len(own)], [*place[len(own) :], *rest]
        if base == own:
            meaning = Meaning(Sort.MODULE, unit=file.unit)
        elif found := self._index.finder.rust(base, file.path):
            meaning = self._unit(found, "")
        else:
            return Meaning(Sort.OUTSIDE, label=".".join(parts))
        for name in rest:
            meaning = self._member(meaning, name)
            if meaning.sort is Sort.UNKNOWN:
                return Meaning(Sort.OUTSIDE, label=".".join(parts))
        return meaning


def _modules_around(file: SourceFile, scope: str) -> list[str]:
    """Names of the modules in braces that a scope is in, the outer ones first."""
    names: list[str] = []
    for name in scope.split("."):
        found = file.definitions.get(".".join([*names, name]))
        if found is None or not found[-1].is_module:
            break
        names.append(name)
    return names


def _as_folder(found: tuple[str, bool] | None) -> tuple[str, bool] | None:
    return (f"{found[0]}/", found[1]) if found else None
