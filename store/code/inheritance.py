"""What classes inherit from, in the order in which members are looked for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from store.code.meaning import Meaning, Sort
from store.code.repository_index import Definition, SourceFile

_MAX_BASES = 64


@dataclass(frozen=True, slots=True)
class Bases:
    """A class and what it inherits from, in the order in which members are looked for."""

    classes: tuple[Definition, ...]
    #: How many of them come before something that is not known.
    known: int
    #: Bases that are not in the repository.
    outside: tuple[str, ...]


class Inheritance:
    """The bases of classes, each found once. `meaning_of` says what a name in a scope of a file means."""

    def __init__(self, meaning_of: Callable[[SourceFile, str, str], Meaning | None]) -> None:
        self._meaning_of = meaning_of
        self._bases: dict[Definition, Bases] = {}

    def of(self, own: Definition) -> Bases:
        """A class, and all that it inherits from."""
        known = self._bases.get(own)
        if known is None:
            self._bases[own] = Bases((own,), 1, ())
            known = self._bases[own] = self._collect_bases(own)
        return known

    def _collect_bases(self, own: Definition) -> Bases:
        """Depth first from left to right; of a class that comes several times the last time counts, as in Python."""
        order: list[Definition] = []
        unknown_after: int | None = None
        outside: list[str] = []
        waiting: list[Definition | str] = [own]
        # Classes that inherit from themselves come for ever.
        for _ in range(4 * _MAX_BASES):
            if not waiting or len(order) == _MAX_BASES:
                break
            each = waiting.pop()
            if isinstance(each, str):
                unknown_after = len(order) if unknown_after is None else unknown_after
                if each:
                    outside.append(each)
                continue
            if each in order:
                order.remove(each)
            order.append(each)
            waiting.extend(reversed(list(self._direct_bases(each))))
        count = len(order)
        return Bases(tuple(order), count if unknown_after is None else min(unknown_after, count), tuple(outside))

    def _direct_bases(self, own: Definition) -> Iterable[Definition | str]:
        file, symbol = own.file, own.symbol
        for target in file.bases.get(symbol.qualified_name, ()):
            found = self._meaning_of(file, symbol.parent, target)
            if found is not None and found.definition is own:
                continue
            if found is not None and found.sort is Sort.DEFINITION and found.definition and found.definition.is_class:
                yield found.definition
            elif found is None or found.label != "builtins.object":
                yield found.label if found is not None else ""

    def parent_of(self, own: Definition) -> Definition | None:
        """The first class that a class inherits from, if it is known."""
        bases = self.of(own)
        return bases.classes[1] if len(bases.classes) > 1 and bases.known > 1 else None
