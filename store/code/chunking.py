"""Which pieces of a file are found by themselves: definitions, parts of large ones, small neighbours together."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tree_sitter import Node

from store.code.definitions import Definition
from store.code.positions import Positions
from store.code.splitting import MAX_WEIGHT, MIN_WEIGHT, Splitter

#: Small neighbours are put together up to this. It is what a small model reads of a text: 256 tokens. What is behind
#: would not be found by its vector.
_TOGETHER = 800


@dataclass(slots=True)
class Piece:
    """A piece of a file, and whose it is."""

    start: int
    end: int
    #: Definition that it is, or that it is a part of; of some together, the first; None of the file itself.
    owner: Definition | None
    #: Whether the owner begins in it.
    begins: bool
    weight: int
    #: Whether something in it is outside of any definition.
    is_outside: bool = field(init=False)
    #: Whether all that is in it is small, so that more of that may be put to it.
    is_small: bool = field(init=False)

    def __post_init__(self) -> None:
        self.is_outside = self.owner is None
        self.is_small = self.weight < MIN_WEIGHT


class Chunking:
    """Of one file."""

    def __init__(self, root: Node, positions: Positions) -> None:
        """`root` of its syntax tree."""
        self._root = root
        self._positions = positions
        self._splitter = Splitter(positions)

    def pieces(self, top: Sequence[Definition]) -> list[Piece]:
        """In the order of the file; between them is nothing but white space."""
        pieces = self._within(0, len(self._positions.content), None, top)
        return [part for piece in pieces for part in self._bounded(piece)]

    def _within(self, start: int, end: int, owner: Definition | None, children: Sequence[Definition]) -> list[Piece]:
        """Pieces of a definition, or of the file: what is between the definitions in it, and these."""
        groups: list[list[Piece]] = [[]]
        at = start
        for child in children:
            first = max(child.start, at)
            groups[-1] += self._between(at, first, owner, begins=at == start)
            at = max(child.end, first)
            if self._positions.weight(first, at) <= MAX_WEIGHT:
                groups[-1] += self._piece(first, at, child, begins=True)
            else:  # its pieces have another parent: they are no neighbours of ours
                groups += [self._within(first, at, child, child.children), []]
        groups[-1] += self._between(at, end, owner, begins=at == start)
        for own in groups[::2]:
            self._merge(own)
        return self._without_marks([piece for group in groups for piece in group])

    def _between(self, start: int, end: int, owner: Definition | None, *, begins: bool) -> list[Piece]:
        start, end = self._positions.trimmed(start, end)
        node = owner.node if owner else self._root
        pieces: list[Piece] = []
        for first, last in self._splitter.along_tree(start, end, node):
            pieces += self._piece(first, last, owner, begins=begins and not pieces and owner is not None)
        return pieces

    def _piece(self, start: int, end: int, owner: Definition | None, *, begins: bool) -> list[Piece]:
        start, end = self._positions.trimmed(start, end)
        weight = self._positions.weight(start, end)
        return [Piece(start, end, owner, begins, weight)] if weight else []

    def _bounded(self, piece: Piece) -> list[Piece]:
        parts = self._splitter.bounded(piece.start, piece.end)
        if parts == [(piece.start, piece.end)]:
            return [piece]
        return [
            Piece(start, end, piece.owner, piece.begins and number == 0, self._positions.weight(start, end))
            for number, (start, end) in enumerate(parts)
        ]

    def _merge(self, pieces: list[Piece]) -> None:
        """Puts small ones together, then those that are still small to the smaller of their neighbours."""
        merged: list[Piece] = []
        for piece in pieces:
            before = merged[-1] if merged else None
            if before and before.is_small and piece.is_small and before.weight + piece.weight <= _TOGETHER:
                _join(before, piece)
            else:
                merged.append(piece)
        pieces.clear()
        for number, piece in enumerate(merged):
            before = pieces[-1] if pieces else None
            after = merged[number + 1] if number + 1 < len(merged) else None
            room = MAX_WEIGHT - piece.weight if piece.weight < MIN_WEIGHT else 0
            takes_before = before is not None and before.weight <= room
            takes_after = after is not None and after.weight <= room
            if after and takes_after and not (before and takes_before and before.weight <= after.weight):
                _join(piece, after)
                merged[number + 1] = piece
            elif before and takes_before:
                _join(before, piece)
            else:
                pieces.append(piece)

    def _without_marks(self, pieces: list[Piece]) -> list[Piece]:
        """A brace that closes is no chunk, nor is `namespace a {`: they go to their neighbours, whosever these are."""
        kept: list[Piece] = []
        for piece in pieces:
            before = kept[-1] if kept else None
            fits = before is not None and before.weight + piece.weight <= MAX_WEIGHT
            if before and fits and (self._is_bare(piece) or _only_opens(before)):
                _join(before, piece)
            else:
                kept.append(piece)
        return kept

    def _is_bare(self, piece: Piece) -> bool:
        if piece.weight >= MIN_WEIGHT:
            return False
        return not any(byte > 127 or chr(byte).isalnum() for byte in self._positions.content[piece.start : piece.end])


def _only_opens(piece: Piece) -> bool:
    """Whether it is the beginning of what only holds definitions, and little more."""
    return piece.is_small and piece.begins and piece.owner is not None and not piece.owner.is_outlined


def _join(left: Piece, right: Piece) -> None:
    """It is found by the first definition that begins in it; by one that only holds others where there is no other."""
    if right.begins and not (left.begins and left.owner and left.owner.is_outlined):
        left.owner, left.begins = right.owner, True
    left.end = right.end
    left.weight += right.weight
    left.is_outside = left.is_outside or right.is_outside
    left.is_small = left.is_small and right.is_small
