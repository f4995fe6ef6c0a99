"""How names are looked up, where languages differ."""

import builtins
import io
import types
from dataclasses import dataclass

_PLAIN = (str, bytes, bytearray, list, tuple, dict, set, frozenset, int, float, complex)
_VALUES = (*_PLAIN, object, type, property, BaseException)
_FILES = (io.TextIOWrapper, io.BytesIO, io.BufferedReader)
_GENERATOR = types.GeneratorType


@dataclass(frozen=True, slots=True)
class LanguageRules:
    """What the names of a language mean that no definition says."""

    #: The object that a method is of, and its class.
    receivers: frozenset[str] = frozenset()
    own_class: frozenset[str] = frozenset()
    #: What the class inherits from.
    parent: str = ""
    #: Whether a method sees the members of its class without naming the object.
    sees_members: bool = False
    #: Names that are there without an import, with the module that they are said to be of.
    builtin_names: frozenset[str] = frozenset()
    builtin_module: str = ""
    #: Members that so many types have that a name alone says nothing.
    common_members: frozenset[str] = frozenset()
    #: Decorators that make a method look like an attribute.
    properties: frozenset[str] = frozenset()
    #: Whether a function that is seen nowhere may be the only one of its name, as with headers in C.
    guesses_functions: bool = True
    #: Whether a name in full says which definition it is. Elsewhere it begins with a path of the repository, and what
    #: is not in the repository can have the same: `log.info`, beside a folder `log`.
    has_full_names: bool = False


_COMMON_NAMES = (
    "add all any append apply at call catch clear clone close concat contains copy count create delete each emit "
    "end entries equals error every exec execute exists fill filter find flush forEach format from get hash has "
    "includes indexOf info init insert is isEmpty iter join keys last len length list load lock log map match "
    "merge name new next of on once open parse pop print push put read reduce remove replace reset resolve run "
    "save send set size slice some sort split start stop stream submit test then to toString trim unlock unwrap "
    "update value values wait warn with write"
)
_COMMON = frozenset(_COMMON_NAMES.split())

_SCRIPT = LanguageRules(receivers=frozenset({"this"}), parent="super", common_members=_COMMON)

RULES = {
    "python": LanguageRules(
        receivers=frozenset({"self"}),
        own_class=frozenset({"cls", "mcs", "__class__"}),
        parent="super",
        builtin_names=frozenset(dir(builtins)),
        builtin_module="builtins",
        common_members=frozenset(name for each in (*_VALUES, *_FILES, _GENERATOR) for name in dir(each)),
        properties=frozenset({"property", "cached_property", "abstractproperty"}),
        guesses_functions=False,
    ),
    "javascript": _SCRIPT,
    "typescript": _SCRIPT,
    "tsx": _SCRIPT,
    "java": LanguageRules(
        receivers=frozenset({"this"}),
        parent="super",
        sees_members=True,
        common_members=_COMMON,
        guesses_functions=False,
        has_full_names=True,
    ),
    "rust": LanguageRules(
        receivers=frozenset({"self"}), own_class=frozenset({"Self"}), common_members=_COMMON, guesses_functions=False
    ),
    "go": LanguageRules(common_members=_COMMON, guesses_functions=False),
    "c": LanguageRules(common_members=_COMMON, has_full_names=True),
    "cpp": LanguageRules(receivers=frozenset({"this"}), sees_members=True, common_members=_COMMON, has_full_names=True),
}

#: Of languages that nothing is known of.
NO_RULES = LanguageRules()
