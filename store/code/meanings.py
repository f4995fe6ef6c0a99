"""What a name means at a place of a file: by the scopes around it, imports, types of variables, bases of classes."""

from collections.abc import Sequence
from dataclasses import replace

from store.code.full_names import FullNames
from store.code.inheritance import Inheritance
from store.code.kept import Kept
from store.code.language_rules import NO_RULES, RULES, LanguageRules
from store.code.meaning import UNKNOWN, Meaning, Sort, agreed, chosen, split_marks
from store.code.module_meanings import ModuleMeanings
from store.code.repository_index import Definition, RepositoryIndex, SourceFile, Unit, family_of
from store.code.source import Import
from store.code.stars import Stars
from store.code.types_of_values import Types

_MAX_SCOPES = 32


class Meanings:
    """Looks names up. What it finds is kept, so that nothing is explained twice, and circles end."""

    def __init__(self, index: RepositoryIndex) -> None:
        self._index = index
        self._kept = Kept()
        self._types = Types(self.of, self._own_class)
        self._inheritance = Inheritance(self.of)
        self._modules = ModuleMeanings(index, self.member)
        self._stars = Stars(self._modules.named)
        self._full_names = FullNames(index)

    def of(self, file: SourceFile, scope: str, target: str, *, is_called: bool = False) -> Meaning | None:
        """What a name with dots means in a scope; None when its first part is seen nowhere."""
        if self._kept.is_too_deep():
            return UNKNOWN
        with self._kept:
            parts: Sequence[str] = target.split(".")
            first, rest = parts[0], parts[1:]
            name, marks = split_marks(first)
            if file.language == "java" and (marks or (is_called and not rest)):
                meaning = self._java_method(file, scope, name)
            else:
                meaning = self._first(file, scope, name)
            if meaning is None and file.language == "java" and (in_package := self._full_names.in_package(parts))[0]:
                meaning, rest = in_package
            if meaning is None and not rest and not marks:
                return None
            if meaning is None:
                # Nothing in the file gives it this name: it comes with the language, or from a module that is not here.
                meaning = Meaning(Sort.OUTSIDE, label=name, sure=False)
            meaning = self._types.marked(meaning, marks)
            for part in rest:
                name, marks = split_marks(part)
                meaning = self._types.marked(self.member(meaning, name), marks)
            return meaning

    def imported(self, file: SourceFile, each: Import) -> Meaning:
        """What an import binds."""
        module = self._modules.named(file, each.module, each.scope)
        if not each.name:
            first = each.alias.partition(".")[0]
            return self._modules.named(file, first) if "." in each.alias else module
        if each.name == "*":
            return module
        return self.member(module, each.name)

    def module(self, file: SourceFile, each: Import) -> Meaning:
        """The module that an import names."""
        return self._modules.named(file, each.module, each.scope)

    def parent_of(self, own: Definition) -> Definition | None:
        """The first class that a class inherits from, if it is known."""
        return self._inheritance.parent_of(own)

    def member(self, of: Meaning, name: str) -> Meaning:
        """What `.name` of something means."""
        match of.sort:
            case Sort.MODULE if of.unit is not None:
                found = self._of_unit(of.unit, name)
                return found.doubted(not of.sure) if found else Meaning(Sort.OUTSIDE, label=f"{of.unit.module}.{name}")
            case Sort.DEFINITION | Sort.INSTANCE | Sort.PARENT if of.definition is not None:
                found = self._of_class(of.definition, name, of.sort) if of.definition.is_class else UNKNOWN
                return found.doubted(not of.sure)
            case Sort.NAMESPACE if of.unit is not None:
                return self._full_names.member(of.unit.files[0], f"{of.label}.{name}").doubted(not of.sure)
            case Sort.OUTSIDE:
                unit = self._index.modules.get(f"{of.label}.{name}")
                if unit is not None and unit.language == "python":
                    return Meaning(Sort.MODULE, unit=unit, sure=of.sure)
                return replace(of, label=f"{of.label}.{name}", is_value=False) if of.label else of
        return UNKNOWN

    # Scopes

    def _first(self, file: SourceFile, scope: str, name: str) -> Meaning | None:
        rules = _rules(file)
        if name == "?":
            return UNKNOWN
        if name in rules.receivers or name in rules.own_class or name == rules.parent:
            own = self._own_class(file, scope)
            if own is not None:
                sort = Sort.INSTANCE if name in rules.receivers else Sort.DEFINITION
                return Meaning(Sort.PARENT if name == rules.parent else sort, own)
            if file.language != "rust":
                return self._object_around(file, scope) if name in rules.receivers else UNKNOWN
        if file.language == "rust" and name in ("crate", "super", "self"):
            return self._modules.rust_path(file, [name], scope)
        seen = self._seen(file, scope, name, rules)
        if seen is None and name in rules.builtin_names:
            return Meaning(Sort.OUTSIDE, label=f"{rules.builtin_module}.{name}")
        return seen

    def _object_around(self, file: SourceFile, scope: str) -> Meaning:
        """What `this` is in a method of an object that is written out."""
        found = self._full_names.of(file, scope.rpartition(".")[0])
        return found if found is not None and found.sort is Sort.NAMESPACE else UNKNOWN

    def _java_method(self, file: SourceFile, scope: str, name: str) -> Meaning | None:
        """What is called by its name alone: in Java a variable does not hide the method that has the same name."""
        if name[:1].isupper() or name in ("this", "super", "?"):
            return self._first(file, scope, name)
        for _ in range(_MAX_SCOPES):
            if not scope:
                break
            found = file.definitions.get(scope)
            bases = self._inheritance.of(found[-1]) if found and found[-1].is_class else None
            for place, each in enumerate(bases.classes if bases else ()):
                if methods := each.file.definitions.get(f"{each.symbol.qualified_name}.{name}"):
                    return chosen(methods).doubted(bases is not None and place >= bases.known)
            scope = scope.rpartition(".")[0]
        return self._first(file, "", name)

    def _seen(self, file: SourceFile, scope: str, name: str, rules: LanguageRules) -> Meaning | None:
        """From inside to outside. Functions of Python do not see the names of their class."""
        inner = scope
        for _ in range(_MAX_SCOPES):
            if not scope:
                break
            outer, _, last = scope.rpartition(".")
            if rules.sees_members and last == name and outer.rpartition(".")[2] != name:
                # Within a class its name is the class, not the constructor that has the same one.
                scope = outer
                continue
            found = file.definitions.get(scope)
            in_class = found is not None and found[-1].is_class and not found[-1].is_module
            if (not in_class or scope == inner or rules.sees_members) and (seen := self._in_scope(file, scope, name)):
                return seen
            if rules.sees_members and (seen := self._seen_member(file, scope, name)):
                return seen
            scope = scope.rpartition(".")[0]
        return self._in_scope(file, "", name) or self._of_unit(file.unit, name) or self._brought(file, inner, name)

    def _brought(self, file: SourceFile, scope: str, name: str) -> Meaning | None:
        """By an import of all names of a package, or by a header."""
        if file.unit.path.endswith("/"):
            return self._of_stars(file, name)
        return self._full_names.brought(file, scope, name) if family_of(file.language) == "c" else None

    def _seen_member(self, file: SourceFile, scope: str, name: str) -> Meaning | None:
        found = file.definitions.get(scope)
        own = found[-1] if found else self.class_named(file, scope)
        if own is None or not own.is_class:
            return None
        seen = self._of_class(own, name, Sort.INSTANCE)
        return None if seen.sort in (Sort.UNKNOWN, Sort.OUTSIDE) else seen

    def _own_class(self, file: SourceFile, scope: str) -> Definition | None:
        if own := file.class_around(scope):
            return file.definitions[own][-1]
        # The methods of a type may be in another file than the type.
        return self.class_named(file, scope.rpartition(".")[0])

    def class_named(self, file: SourceFile, qualified_name: str) -> Definition | None:
        """The class of that name that a file's methods are of, in whatever file it is."""
        if not qualified_name:
            return None
        found = self._index.qualified.get((family_of(file.language), qualified_name), ())
        classes = [one for one in found if one.is_class]
        near = [one for one in classes if one.file.unit is file.unit]
        return next(iter(near or classes), None)

    def _in_scope(self, file: SourceFile, scope: str, name: str) -> Meaning | None:
        qualified = f"{scope}.{name}" if scope else name
        definitions = file.definitions.get(qualified)
        place = (scope, name)
        imports = file.imports.get(place)
        types = file.bindings.get(place)
        if imports is None and types is None:
            return chosen(definitions) if definitions else None
        if imports is None and qualified in file.holders and not definitions:
            return Meaning(Sort.NAMESPACE, unit=file.unit, label=qualified, sure=types == [""])
        return self._kept.once(
            (file.path, scope, name),
            lambda: self._explained(file, place, definitions, imports or (), types or ()),
            in_circle=UNKNOWN,
        )

    def _explained(
        self,
        file: SourceFile,
        place: tuple[str, str],
        definitions: Sequence[Definition] | None,
        imports: Sequence[Import],
        types: Sequence[str],
    ) -> Meaning:
        if definitions:
            return chosen(definitions).doubted()
        if imports:
            found = agreed([self.imported(file, each) for each in imports])
            return found.doubted(bool(types))
        if "" in types:
            return UNKNOWN
        scope, name = place
        # `name = name` in a class: the one on the right is further out.
        outer = scope.rpartition(".")[0]
        return agreed(
            [
                self._types.of(file, outer if type_name.lstrip("=").partition(".")[0] == name else scope, type_name)
                for type_name in types
                if type_name != "None"
            ]
        )

    # Members

    def _of_unit(self, unit: Unit, name: str) -> Meaning | None:
        return self._kept.once((unit.path, name), lambda: self._unit_member(unit, name), in_circle=None)

    def _unit_member(self, unit: Unit, name: str) -> Meaning | None:
        found = self._own_unit_member(unit, name)
        if found is None and not unit.path.endswith("/") and not (unit.language == "python" and name.startswith("_")):
            return self._of_stars(unit.files[0], name)
        return found

    def _own_unit_member(self, unit: Unit, name: str) -> Meaning | None:
        # A folder has what its files define; a file has what it imports, too.
        only = None if unit.path.endswith("/") else unit.files[0]
        found = self._modules.below(unit, name) if unit.language == "rust" else None
        if found is None and only is not None:
            found = self._in_scope(only, "", name)
        if found is None and (tops := unit.tops.get(name)):
            found = chosen(tops)
        return found or self._modules.below(unit, name)

    def _of_stars(self, file: SourceFile, name: str) -> Meaning | None:
        for unit, sure in self._stars.behind(file):
            if member := self._own_unit_member(unit, name):
                return member.doubted(not sure)
        return None

    def _of_class(self, own: Definition, name: str, sort: Sort) -> Meaning:
        bases = self._inheritance.of(own)
        for place, each in enumerate(bases.classes):
            if place == 0 and sort is Sort.PARENT:
                continue
            if found := self._own_member(each, name, sort):
                # `super()` goes by the class of the object: with several bases there may be one between.
                several = sort is Sort.PARENT and len(each.file.bases.get(own.symbol.qualified_name, ())) > 1
                return found.doubted(place >= bases.known or several)
        if len(bases.outside) == 1 and bases.known == len(bases.classes):
            return Meaning(Sort.OUTSIDE, label=f"{bases.outside[0]}.{name}", sure=False)
        return UNKNOWN

    def _own_member(self, own: Definition, name: str, sort: Sort) -> Meaning | None:
        file, qualified = own.file, own.symbol.qualified_name
        if found := file.definitions.get(f"{qualified}.{name}"):
            member = chosen(found)
            rules = _rules(file)
            marks = found[0].symbol.decorators
            if marks and any(mark.rpartition(".")[2] in rules.properties for mark in marks):
                return member if sort is Sort.DEFINITION else self._types.returned(member)
            return member.doubted((qualified, name) in file.attributes)
        declared = self._in_scope(file, qualified, name) if (qualified, name) in file.bindings else None
        if declared is not None and declared.sure:
            return declared
        if known := file.attributes.get((qualified, name)):
            return self._kept.once(
                (file.path, qualified, name, "attribute"),
                lambda: agreed([self._types.of(file, scope, type_name) for scope, type_name in known]),
                in_circle=UNKNOWN,
            )
        if declared is not None:
            return declared
        # Methods beside the type, in any file: those of Go, of Rust, of C++.
        elsewhere = self._index.qualified.get((family_of(file.language), f"{qualified}.{name}"), ())
        near = [one for one in elsewhere if one.file.unit is file.unit]
        found_there = near or (elsewhere if file.language != "python" else ())
        return chosen(found_there).doubted(not near) if found_there else None


def _rules(file: SourceFile) -> LanguageRules:
    return RULES.get(file.language, NO_RULES)
