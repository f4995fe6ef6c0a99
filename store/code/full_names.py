"""Names that are looked up whole, as what they begin with is no definition: a namespace, an object, a package."""

from collections.abc import Sequence

from store.code.meaning import UNKNOWN, Meaning, Sort, chosen, split_marks
from store.code.repository_index import RepositoryIndex, SourceFile, family_of

_MAX_SCOPES = 32
#: Namespaces that a file uses all names of, and that each name which is seen nowhere else is looked for in.
_MAX_USED = 64


class FullNames:
    """Of a repository. What stands in another file of C or C++ is said with doubt: includes are not followed."""

    def __init__(self, index: RepositoryIndex) -> None:
        self._index = index

    def of(self, file: SourceFile, qualified_name: str) -> Meaning | None:
        """The definition of that name, or what such names begin with."""
        if found := file.definitions.get(qualified_name):
            return chosen(found)
        holders = file.holders
        if family_of(file.language) == "c":
            if place := self._index.places.get(qualified_name):
                return chosen(place.definitions[qualified_name]).doubted()
            holders = self._index.namespaces
        if qualified_name in holders:
            return Meaning(Sort.NAMESPACE, unit=file.unit, label=qualified_name)
        return None

    def member(self, file: SourceFile, qualified_name: str) -> Meaning:
        """What that name means, which begins with a namespace or an object."""
        if found := self.of(file, qualified_name):
            return found
        # An object can get attributes that are not written in it.
        is_full = family_of(file.language) == "c"
        return Meaning(Sort.OUTSIDE, label=qualified_name) if is_full else UNKNOWN

    def brought(self, file: SourceFile, scope: str, name: str) -> Meaning | None:
        """What a scope of C++ sees of other files: names of the namespaces around it, and of those that it uses."""
        around = scope
        for _ in range(_MAX_SCOPES):
            # Within a class its name is the class, not the constructor.
            is_own = around.rpartition(".")[2] == name
            if not is_own and (seen := self.of(file, f"{around}.{name}" if around else name)):
                return seen
            if not around:
                break
            around = around.rpartition(".")[0]
        for star in file.stars[:_MAX_USED]:
            is_here = not star.scope or f"{scope}.".startswith(f"{star.scope}.")
            if is_here and (seen := self.of(file, f"{star.module}.{name}")):
                return seen
        return None

    def in_package(self, parts: Sequence[str]) -> tuple[Meaning | None, Sequence[str]]:
        """A package of Java that a name with dots begins with, and the rest: a class of it, and members."""
        for count in range(1, len(parts)):
            if split_marks(parts[count - 1])[1]:
                break
            found = self._index.finder.java(".".join(parts[:count]))
            unit = self._index.units.get(f"{found[0]}/") if found else None
            if found is not None and unit is not None and split_marks(parts[count])[0] in unit.tops:
                return Meaning(Sort.MODULE, unit=unit, sure=found[1]), parts[count:]
        return None, parts[1:]
