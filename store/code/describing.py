"""From pieces of a file to chunks that say what they are."""

import re
from bisect import bisect_left
from dataclasses import replace
from heapq import nsmallest

from store.code.chunking import Piece
from store.code.definitions import Definitions
from store.code.languages.language import Language
from store.code.positions import UTF8_MARK, Positions
from store.code.source import Chunk, CodeKind, Import
from store.code.symbols import Symbols, span_of, string_text

_WORD = re.compile(r"[^\W\d]\w*")

# A file may import one thing ten thousand times, and name it in each of a thousand chunks.
_MOST_IMPORTS = 50
_LONGEST_IMPORT = 200


class Describing:
    """Of one file."""

    def __init__(
        self,
        language: Language,
        positions: Positions,
        definitions: Definitions,
        symbols: Symbols,
        imports: tuple[Import, ...],
    ) -> None:
        """Everything that is known of it."""
        self._positions = positions
        self._symbols = symbols
        self._docstring = string_text(positions, definitions.docstring) if definitions.docstring else ""
        anchored = [(each.anchor, symbols[each]) for each in definitions.all if each.is_outlined]
        anchored.sort(key=lambda one: (one[0], one[1].qualified_name))
        self._anchors = [anchor for anchor, _ in anchored]
        self._anchored = [symbol for _, symbol in anchored]
        #: Places and texts of imports, by the word that a chunk uses them with.
        self._imports: dict[str, list[tuple[int, str]]] = {}
        for place, each in enumerate(imports):
            if each.alias:
                same = self._imports.setdefault(each.alias.partition(".")[0], [])
                if len(same) < _MOST_IMPORTS:
                    same.append((place, _written(each, language.separator)[:_LONGEST_IMPORT]))

    def chunk(self, piece: Piece, number: int) -> Chunk:
        """The chunk that a piece is; `number` from 0 in the file."""
        content = decoded(self._positions, piece.start, piece.end)
        # The mark in front belongs to the first chunk, so that no byte is left over.
        has_mark = number == 0 and self._positions.content.startswith(UTF8_MARK)
        span = span_of(self._positions, 0 if has_mark else piece.start, piece.end)
        begun = self._anchored[bisect_left(self._anchors, piece.start) : bisect_left(self._anchors, piece.end)]
        owner = None if piece.owner is None else self._symbols[piece.owner]
        described = begun if owner is None or owner in begun else [owner, *begun]
        docstrings = [self._docstring] if number == 0 else []
        docstrings += [each.docstring for each in described if each is not owner or piece.begins]
        chunk = Chunk(
            kind=CodeKind.MODULE if owner is None else owner.kind,
            span=span,
            content=content,
            imports=self._used(content),
            complexity=max((each.complexity for each in described), default=0),
            symbols=tuple(each.qualified_name for each in begun),
            kinds=frozenset(each.kind for each in described) | ({CodeKind.MODULE} if piece.is_outside else set()),
            signatures=tuple(dict.fromkeys(each.signature for each in described if each.signature)),
            docstrings=tuple(dict.fromkeys(docstring for docstring in docstrings if docstring)),
        )
        if owner is None:
            return replace(chunk, docstring=self._docstring if number == 0 else "")
        return replace(
            chunk,
            name=owner.name,
            qualified_name=owner.qualified_name,
            parent=owner.parent,
            signature=owner.signature,
            docstring=owner.docstring if piece.begins else "",
            parameters=owner.parameters,
            decorators=owner.decorators,
        )

    def _used(self, content: str) -> tuple[str, ...]:
        """The first ones of the file."""
        if not self._imports:
            return ()
        words = self._imports.keys() & _WORD.findall(content)
        first = nsmallest(_MOST_IMPORTS, words, key=lambda word: self._imports[word][0])
        used = sorted(each for word in first for each in self._imports[word])
        return tuple(dict.fromkeys(written for _, written in used))[:_MOST_IMPORTS]


def decoded(positions: Positions, start: int, end: int) -> str:
    """The text of a piece, without the mark that a file may begin with."""
    if start == 0 and positions.content.startswith(UTF8_MARK):
        start = len(UTF8_MARK)
    return positions.text(start, end)


def _written(each: Import, separator: str) -> str:
    if each.name in {"", "*"}:
        return each.module
    joint = "" if each.module.endswith((separator, "/")) or not each.module else separator
    return f"{each.module}{joint}{each.name}"
