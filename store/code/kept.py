"""Answers that need each other: each is found once, and circles end."""

from collections.abc import Callable

from store.code.meaning import UNKNOWN, Meaning

#: Names that are explained by names that are explained by names: what goes deeper is not known. Each step takes up to
#: seven calls of functions, and Python has 1,000.
_MAX_DEPTH = 80
#: Names that are explained again because they were a part of a circle: after so many the first answer stays.
_MAX_REPEATED = 5_000


class Kept:
    """What was found for the names of one repository. As a context it is one step deeper."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], Meaning | None] = {}
        #: What is being explained, how often that led back to itself, and what was thrown away because of that.
        self._open: set[tuple[str, ...]] = set()
        self._circles = 0
        self._repeated = 0
        self._depth = 0

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1

    def once(
        self, key: tuple[str, ...], explain: Callable[[], Meaning | None], *, in_circle: Meaning | None
    ) -> Meaning | None:
        """What `explain` found, now or before; `in_circle` when it is being asked already."""
        if key in self._found:
            return self._found[key]
        if key in self._open:
            self._circles += 1
            return in_circle
        if self.is_too_deep():
            return UNKNOWN
        circles = self._circles
        self._open.add(key)
        try:
            with self:
                found = explain()
        finally:
            self._open.remove(key)
        if self._is_final(circles):
            self._found[key] = found
        return found

    def is_too_deep(self) -> bool:
        """As a circle: from where less is around it, there may be an answer."""
        if self._depth < _MAX_DEPTH:
            return False
        self._circles += 1
        return True

    def _is_final(self, circles: int) -> bool:
        """Whether what was found can be kept: what goes in a circle may look different from where the circle began."""
        if circles == self._circles or not self._open or self._repeated >= _MAX_REPEATED:
            return True
        self._repeated += 1
        return False
