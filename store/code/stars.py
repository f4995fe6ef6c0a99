"""What files import all names of, also over other files that do so."""

from collections.abc import Callable

from store.code.meaning import Meaning
from store.code.repository_index import SourceFile, Unit

#: Imports of all names that are followed from one file: with files that all import each other they are the square.
_MAX_FOLLOWED = 1_000


class Stars:
    """Follows imports of all names, each once a file. `module_named` says what an import of a file names."""

    def __init__(self, module_named: Callable[[SourceFile, str, str], Meaning]) -> None:
        self._module_named = module_named
        self._targets: dict[str, list[tuple[Unit, bool]]] = {}
        self._behind: dict[str, list[tuple[Unit, bool]]] = {}

    def behind(self, file: SourceFile) -> list[tuple[Unit, bool]]:
        """Whose names a file has, in the order in which they are looked for, each once; and whether that is sure."""
        if not file.stars:
            return []
        known = self._behind.get(file.path)
        if known is None:
            known = self._behind[file.path] = self._follow(file)
        return known

    def _follow(self, file: SourceFile) -> list[tuple[Unit, bool]]:
        found: dict[str, tuple[Unit, bool]] = {}
        waiting = list(reversed(self._direct(file)))
        for _ in range(_MAX_FOLLOWED):
            if not waiting:
                break
            unit, sure = waiting.pop()
            if unit.path in found or unit is file.unit:
                continue
            found[unit.path] = unit, sure
            # What the files of a folder import is not handed on.
            if not unit.path.endswith("/"):
                waiting.extend((inner, sure and known) for inner, known in reversed(self._direct(unit.files[0])))
        return list(found.values())

    def _direct(self, file: SourceFile) -> list[tuple[Unit, bool]]:
        known = self._targets.get(file.path)
        if known is None:
            # While they are looked up a path may lead back to here.
            known = self._targets[file.path] = []
            for star in file.stars[:_MAX_FOLLOWED]:
                within = self._module_named(file, star.module, star.scope)
                if within.unit is not None:
                    known.append((within.unit, within.sure))
        return known
