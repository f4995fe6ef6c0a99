"""What a file imports, calls, inherits from and names, read off its syntax tree. A file a family of languages."""

from collections.abc import Sequence
from functools import cache

import tree_sitter
from tree_sitter import Node

from store.code.languages import LANGUAGES
from store.code.references.c_family import CPP, C
from store.code.references.go import GO
from store.code.references.java import JAVA
from store.code.references.javascript import JAVASCRIPT, TYPESCRIPT
from store.code.references.python import PYTHON
from store.code.references.reading import Reading, ReferenceReader
from store.code.references.rust import RUST
from store.code.source import Binding, Import, Reference, Symbol

_READERS = {
    "c": C,
    "cpp": CPP,
    "go": GO,
    "java": JAVA,
    "javascript": JAVASCRIPT,
    "python": PYTHON,
    "rust": RUST,
    "tsx": TYPESCRIPT,
    "typescript": TYPESCRIPT,
}


def references_of(
    root: Node, language: str, symbols: Sequence[Symbol]
) -> tuple[tuple[Import, ...], tuple[Reference, ...], tuple[Binding, ...]]:
    """Imports, references and bindings of a file, in its order. Nothing of a language that is not known.

    `symbols` are those of the same tree: they say which definition a reference is in.
    """
    reader = _READERS.get(language)
    if reader is None:
        return (), (), ()
    # The captures of `matches`: those of `captures` are put in order, which takes time by the square of the depth.
    reading = Reading(reader.syntax, symbols)
    found: dict[str, list[Node]] = {}
    for _, captures in tree_sitter.QueryCursor(_query(language, reader)).matches(root):
        for name, nodes in captures.items():
            found.setdefault(name, []).extend(nodes)
    for name, handle in reader.handlers.items():
        for node in found.get(name, ()):
            handle(reading, node)
    return reading.finish(reader.receivers)


@cache
def _query(language: str, reader: ReferenceReader) -> tree_sitter.Query:
    grammar = next(each.grammar for each in LANGUAGES if each.name == language)
    return tree_sitter.Query(tree_sitter.Language(grammar()), reader.query)
