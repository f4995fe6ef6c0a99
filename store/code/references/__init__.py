"""What a file imports, calls, inherits from and names, read off its syntax tree; one file for each family of languages."""

from collections.abc import Sequence

from tree_sitter import Node

from store.code.source import Binding, Import, Reference, Symbol


def references_of(
    root: Node, source: bytes, language: str, symbols: Sequence[Symbol]
) -> tuple[tuple[Import, ...], tuple[Reference, ...], tuple[Binding, ...]]:
    """Imports, references and bindings of a file, in its order. Nothing of a language that is not known.

    `symbols` are those of the same tree: they say which definition a reference is in.
    """
    del root, source, language, symbols
    return (), (), ()
