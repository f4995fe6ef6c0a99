"""Cuts what is too large for a chunk: along the syntax tree, else by lines, else where it must."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from tree_sitter import Node

from store.code.positions import Positions

#: Most characters of a chunk that are not white space.
MAX_WEIGHT = 1_600
#: Least of them, where its neighbours leave a choice.
MIN_WEIGHT = 200
#: Most bytes of a chunk. White space weighs nothing, but somebody has to store and to read it.
MAX_BYTES = 32 * 1024

#: First byte, and the one behind the last.
Piece = tuple[int, int]


class Splitter:
    """Of one file."""

    def __init__(self, positions: Positions) -> None:
        """Without a tree: nodes come with what is to be split."""
        self._positions = positions
        self._children: dict[int, tuple[list[int], list[Node]]] = {}

    def along_tree(self, start: int, end: int, node: Node) -> list[Piece]:
        """Pieces of a range within the node. What fits into a piece is not cut, and lines are not where they fit."""
        if self._fits(start, end):
            return [(start, end)]
        pieces = self._at_nodes(start, end, node, MAX_WEIGHT)
        if self._least(pieces) < MIN_WEIGHT:  # a little rest: rather cut smaller nodes, and evenly
            weight = self._positions.weight(start, end)
            pieces = max(pieces, self._at_nodes(start, end, node, weight // len(pieces) // 2), key=self._least)
        return pieces

    def by_lines(self, start: int, end: int) -> list[Piece]:
        """Pieces of a range that has no tree: paragraphs stay together where they fit."""
        lines, content = self._positions.lines, self._positions.content
        paragraphs = [this for before, this in pairwise(lines) if not content[before:this].strip()]
        return self._pack(start, end, (paragraphs, lines))

    def bounded(self, start: int, end: int) -> list[Piece]:
        """A piece as it is, or one of too many bytes in parts, without those that are only white space."""
        if end - start <= MAX_BYTES:
            return [(start, end)]
        parts: list[Piece] = []
        while start < end:
            stop = end if end - start <= MAX_BYTES else self._stop_within(start, start + MAX_BYTES)
            first, last = self._positions.trimmed(start, stop)
            if self._positions.weight(first, last):
                parts.append((max(first, start), last))  # an indentation may be longer than a part
            start = stop
        return parts

    def _stop_within(self, start: int, stop: int) -> int:
        """The last beginning of a line, else of a character."""
        line = self._positions.line_start(stop)
        if line > start:
            return line
        while self._positions.content[stop] & 0xC0 == 0x80 and stop > start + MAX_BYTES - 3:
            stop -= 1
        return stop

    def _at_nodes(self, start: int, end: int, node: Node, largest: int) -> list[Piece]:
        """Pieces that begin with nodes; only those above a weight are cut."""
        starts = self._starts(start, end, node, largest)
        first_of_line = [each for each in starts if self._is_first_of_line(each)]
        return self._pack(start, end, (first_of_line, self._positions.lines, starts))

    def _least(self, pieces: list[Piece]) -> int:
        return min(self._positions.weight(*piece) for piece in pieces)

    def _fits(self, start: int, end: int) -> bool:
        return self._positions.weight(start, end) <= MAX_WEIGHT

    def _starts(self, start: int, end: int, node: Node, largest: int) -> list[int]:
        """Where the nodes begin that weigh no more than the largest may, within the range."""
        starts = []
        stack = [node]
        while stack:
            each = stack.pop()
            first, last = max(each.start_byte, start), min(each.end_byte, end)
            if first >= last:
                continue
            if self._positions.weight(first, last) <= largest or not each.child_count:
                starts.append(first)
                continue
            begins, children = self._children_of(each)
            within = children[max(bisect_right(begins, first) - 1, 0) : bisect_left(begins, last)]
            stack.extend(reversed(within))
        return starts

    def _children_of(self, node: Node) -> tuple[list[int], list[Node]]:
        """Kept: many ranges are in the same large node."""
        known = self._children.get(node.id)
        if known is None:
            children = node.children
            known = self._children[node.id] = ([each.start_byte for each in children], children)
        return known

    def _is_first_of_line(self, byte: int) -> bool:
        return self._positions.weight(self._positions.line_start(byte), byte) == 0

    def _pack(self, start: int, end: int, levels: tuple[Sequence[int], ...]) -> list[Piece]:
        """Fills pieces up evenly. Cuts at the first level's places; between two of them at the next one's."""
        weight = self._positions.weight(start, end)
        if weight <= MAX_WEIGHT:
            return [(start, end)]
        if not levels:
            return self._anywhere(start, end)
        target = weight / -(-weight // MAX_WEIGHT)
        cuts, deeper = levels[0], levels[1:]
        pieces: list[Piece] = []
        first = at = start
        for stop in [*cuts[bisect_right(cuts, start) : bisect_left(cuts, end)], end]:
            filled = self._positions.weight(first, at)
            if filled and (filled >= target or not self._fits(first, stop)):
                pieces.append((first, at))
                first = at
            if not self._fits(first, stop):
                *whole, (first, at) = self._pack(first, stop, deeper)
                pieces += whole
            at = stop
        return [*pieces, (first, end)]

    def _anywhere(self, start: int, end: int) -> list[Piece]:
        pieces = []
        while start < end:
            stop = min(self._positions.furthest(start, MAX_WEIGHT), end)
            pieces.append((start, stop))
            start = stop
        return pieces
