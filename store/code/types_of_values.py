"""What variables stand for, and what calls give: by annotations and assignments."""

import builtins
from collections.abc import Callable
from dataclasses import replace

from store.code.meaning import OUTSIDE, UNKNOWN, Meaning, Sort, instance_of
from store.code.repository_index import Definition, SourceFile

_BUILTIN_TYPES = frozenset(name for name, value in vars(builtins).items() if isinstance(value, type))
#: A call of what they decorate gives what the function returns.
_TRANSPARENT_DECORATORS = frozenset(
    {"abstractmethod", "cache", "cached_property", "classmethod", "final", "override", "property", "staticmethod"}
)


class Types:
    """Finds types by the names that say them."""

    def __init__(
        self,
        meaning_of: Callable[[SourceFile, str, str], Meaning | None],
        own_class: Callable[[SourceFile, str], Definition | None],
    ) -> None:
        """`meaning_of` a name in a scope of a file, and the class that is around a scope."""
        self._meaning_of = meaning_of
        self._own_class = own_class

    def of(self, file: SourceFile, scope: str, type_name: str) -> Meaning:
        """What a variable stands for; see Binding.type_name."""
        if not type_name:
            return UNKNOWN
        found = self._meaning_of(file, scope, type_name.removeprefix("="))
        if found is None:
            named = type_name[0] != "=" and not type_name.endswith("()")
            return Meaning(Sort.OUTSIDE, label=type_name, sure=False, is_value=True) if named else UNKNOWN
        if type_name.startswith("="):
            return found.doubted()
        known = found.doubted() if type_name.endswith("()") else instance_of(found)
        return replace(known, is_value=True) if known.sort is Sort.OUTSIDE else known

    def marked(self, meaning: Meaning, marks: str) -> Meaning:
        """What calls (`()`) and other marks behind a name make of it."""
        while marks:
            meaning = self._called(meaning) if marks.startswith("()") else UNKNOWN
            marks = marks[2:]
        return meaning

    def _called(self, meaning: Meaning) -> Meaning:
        """What a call gives."""
        if meaning.sort is Sort.DEFINITION and meaning.definition is not None:
            return instance_of(meaning) if meaning.definition.is_class else self.returned(meaning)
        if meaning.sort is Sort.PARENT:
            return meaning
        if meaning.sort is Sort.OUTSIDE:
            if meaning.is_value:
                return OUTSIDE
            module, _, name = meaning.label.rpartition(".")
            is_class = name[:1].isupper() or (module == "builtins" and name in _BUILTIN_TYPES)
            return meaning if is_class else OUTSIDE
        return UNKNOWN

    def returned(self, meaning: Meaning) -> Meaning:
        """What a call of a function gives."""
        if meaning.definition is None:
            return UNKNOWN
        file, symbol = meaning.definition.file, meaning.definition.symbol
        types = file.bindings.get((symbol.qualified_name, "return"), ())
        if len(types) != 1:
            return UNKNOWN
        if types[0] in ("Self", "typing.Self"):
            own = self._own_class(file, symbol.qualified_name)
            return Meaning(Sort.INSTANCE, own, sure=False) if own else UNKNOWN
        plain = all(mark.rpartition(".")[2] in _TRANSPARENT_DECORATORS for mark in symbol.decorators)
        found = self.of(file, symbol.parent, types[0])
        # What a decorator makes of an iterator, say, is not known: it may be a context manager.
        return UNKNOWN if found.sort is Sort.OUTSIDE and not plain else found.doubted(not (meaning.sure and plain))
