"""Source to syntax tree, and what the language's query finds in it: the place that runs tree-sitter."""

import time
from dataclasses import dataclass
from functools import cache

import tree_sitter
from tree_sitter import Node

from store.code.languages.language import Language

#: Seconds of computing for one file. Sources are parsed at some MB a second: this is for those that confuse a grammar.
PARSE_SECONDS = 5.0

# The parser holds the interpreter's lock, but for the moments in which it asks for more of the source.
_READ_BYTES = 1 << 14
# Afterwards it reads through the same function for each `Node.text`: names, for the most part.
_NAME_BYTES = 1 << 7


@dataclass(frozen=True, slots=True)
class Syntax:
    """A file that was parsed, perhaps with errors."""

    root: Node
    #: What the query found, each with the nodes by the names that they are captured by.
    matches: tuple[dict[str, list[Node]], ...]


def parse(language: Language, content: bytes, seconds: float = PARSE_SECONDS) -> Syntax | None:
    """The syntax tree; None when it takes too long. Never fails: what is no source gives errors in the tree."""
    deadline = time.thread_time() + seconds
    length = _READ_BYTES

    def read(offset: int, point: tree_sitter.Point) -> bytes:
        del point
        return content[offset : offset + length]

    def is_late(offset: int, has_error: bool) -> bool:
        del offset, has_error
        return time.thread_time() > deadline

    try:
        tree = tree_sitter.Parser(_grammar(language)).parse(read, progress_callback=is_late)
    except ValueError:  # its way to say that it was stopped
        return None
    length = _NAME_BYTES
    # Its own callback for progress is left alone: with one, the binding crashes the process.
    matches = tree_sitter.QueryCursor(_query(language)).matches(tree.root_node)
    return Syntax(root=tree.root_node, matches=tuple(captures for _, captures in matches))


@cache
def _grammar(language: Language) -> tree_sitter.Language:
    return tree_sitter.Language(language.grammar())


@cache
def _query(language: Language) -> tree_sitter.Query:
    return tree_sitter.Query(_grammar(language), language.query)
