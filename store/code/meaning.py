"""What a name can mean, and what follows of several meanings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice

from store.code.repository_index import Definition, Unit
from store.code.source import CodeKind

#: Of the definitions of one name so many are looked at, the last ones.
_MAX_DEFINITIONS = 64
_VARIANTS = frozenset({"overload", "setter", "deleter", "getter", "register"})


class Sort(Enum):
    """What a name can mean."""

    DEFINITION = "definition"
    #: An object of a class.
    INSTANCE = "instance"
    #: What a class inherits from, as `super()`.
    PARENT = "parent"
    MODULE = "module"
    #: What has names in it and is no definition: a namespace of C++, an object of JavaScript.
    NAMESPACE = "namespace"
    #: Something with a name that is not in the repository.
    OUTSIDE = "outside"
    #: A name that is there, but nothing is known of what it stands for.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name means; `sure` unless something was guessed on the way."""

    sort: Sort
    definition: Definition | None = None
    unit: Unit | None = None
    label: str = ""
    sure: bool = True
    #: Of what is outside: an object of that type, not what has that name.
    is_value: bool = False

    def doubted(self, doubt: bool = True) -> "Meaning":
        """The same, but not sure."""
        return replace(self, sure=False) if doubt and self.sure else self


UNKNOWN = Meaning(Sort.UNKNOWN, sure=False)
#: Not of the repository, and without a name.
OUTSIDE = Meaning(Sort.OUTSIDE, sure=False)


def split_marks(part: str) -> tuple[str, str]:
    """A name, and the calls and subscripts after it."""
    if not part.endswith((")", "]")):
        return part, ""
    # What is written in C++ may close more brackets than it opens, once its templates are left out.
    place = min((place for place in (part.find("("), part.find("[")) if place >= 0), default=len(part))
    return part[:place], part[place:]


def instance_of(meaning: Meaning) -> Meaning:
    """An object of what is meant, if that is a class."""
    if meaning.sort is Sort.DEFINITION and meaning.definition is not None and meaning.definition.is_class:
        return replace(meaning, sort=Sort.INSTANCE)
    return meaning if meaning.sort is Sort.OUTSIDE else UNKNOWN


def chosen(definitions: Sequence[Definition]) -> Meaning:
    """Of several definitions of one name the last one is in force, if it is not one more way to call the first."""
    if len(definitions) == 1:
        return Meaning(Sort.DEFINITION, definitions[0])
    # Generated code defines one name thousands of times, and each use of it comes here.
    last = definitions[-_MAX_DEFINITIONS:]
    plain = list(islice((one for one in reversed(last) if not _is_variant(one)), 2)) or last[::-1]
    # Where a language has overloads, they are told apart by types that are not known here.
    return Meaning(Sort.DEFINITION, plain[0], sure=len(plain) == 1)


def _is_variant(definition: Definition) -> bool:
    marks = (mark.partition("(")[0].rpartition(".")[2] for mark in definition.symbol.decorators)
    return definition.symbol.kind is not CodeKind.CLASS and any(mark in _VARIANTS for mark in marks)


def agreed(meanings: Sequence[Meaning]) -> Meaning:
    """What all say; when they do not agree, what is in the repository, with doubt."""
    distinct = list(dict.fromkeys(replace(meaning, sure=True) for meaning in meanings))
    if len(distinct) == 1:
        return distinct[0].doubted(not all(meaning.sure for meaning in meanings))
    inside = [meaning for meaning in distinct if meaning.sort not in (Sort.OUTSIDE, Sort.UNKNOWN)]
    # Of modules that take each other's place, as those of an operating system, the first stands for all.
    if len(inside) == 1 or (inside and all(meaning.sort is Sort.MODULE for meaning in inside)):
        return inside[0].doubted()
    return UNKNOWN
