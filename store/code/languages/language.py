"""How definitions are found in the syntax tree of a language: a query and a few words, no program."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """A language that files are cut in along their syntax.

    The query is one of tree-sitter. What it captures says what a node is; where a language says nothing else, the
    parts of a definition are its fields `name`, `body` and `parameters`.

    - `@class`, `@function`: a definition. A function right inside of a class is a method.
    - `@module`: a definition that holds others, as a class does, but whose functions are no methods.
    - `@implementation`, `@namespace`: no definitions, but their names belong to those of the definitions in them; the
      functions in an implementation are methods.
    - `@name`, `@body`, `@parameters`: parts of the definition captured with them, where they are no fields.
    - `@receiver`: the type whose method it is, when it stands outside of it.
    - `@outer`: what may stand around one definition and belongs to it: `export …`, decorators, `template <…>`.
    - `@leading`: what belongs to the definition right below it: comments, attributes.
    - `@mark`: a decorator, an attribute, an annotation of the definition whose name comes next.
    - `@base`: what the class around it inherits from.
    - `@docstring`: a string that describes the definition around it, or the file.
    - `@error`: what could not be parsed.
    """

    #: In lower case, as chunks have it.
    name: str
    #: Of file names, with the dot, in lower case.
    suffixes: tuple[str, ...]
    #: What the grammar package calls its language.
    grammar: Callable[[], object]
    query: str
    #: Joins a module and a name of it: `os.path`, `std::fs`.
    separator: str = "."
    #: Names in the first line of a file without a suffix: `#!/usr/bin/env python3`.
    interpreters: tuple[str, ...] = ()
