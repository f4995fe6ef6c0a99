"""Python's own library as a repository: its files, its docstrings as questions, its names to be asked for."""

import ast
import hashlib
import re
import sysconfig
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

#: Others' packages, and what compiled files are kept in.
_NOT_ITS_OWN = frozenset({"site-packages", "dist-packages", "__pycache__"})
_TESTS = frozenset({"test", "tests", "idle_test"})

#: A shorter summary says too little to be asked for.
_SUMMARY_WORDS = 4
_SHORTEST_NAME = 4

#: Lines of a piece of code, and of a function that it is a piece of.
_PIECE, _LONG_ENOUGH = 4, 10

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
#: Path and qualified name.
Place = tuple[str, str]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and which definitions answer it."""

    text: str
    answers: frozenset[Place]

    @property
    def judges(self) -> bool:
        """Whether it is one of those that did not choose the weights of the search."""
        return hashlib.sha256(self.text.encode()).digest()[0] % 2 == 1


def files(limit: int | None = None, *, tests: bool = True) -> dict[str, bytes]:
    """The library's Python files by path; of `limit`, evenly spread over all of it."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = sorted(path for path in root.rglob("*.py") if _is_its_own(path.relative_to(root), tests=tests))
    chosen = paths if limit is None else evenly(paths, limit)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in chosen}


def without_docstrings(content: bytes) -> bytes:
    """A file without its docstrings; as it is when it does not parse."""
    tree = _parsed(content)
    lines = content.split(b"\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    pieces = []
    for node in ast.walk(tree) if tree else ():
        if (docstring := _docstring_node(node)) is not None:
            first = starts[docstring.lineno - 1] + docstring.col_offset
            last = starts[(docstring.end_lineno or 0) - 1] + (docstring.end_col_offset or 0)
            pieces.append((first, last, b"" if isinstance(node, ast.Module) else b"pass"))
    for first, last, instead in sorted(pieces, reverse=True):
        content = content[:first] + instead + content[last:]
    return content


def docstring_questions(contents: Mapping[str, bytes]) -> list[Question]:
    """The first sentences of the docstrings of functions that do something."""
    asked: dict[str, set[Place]] = {}
    for path, content in contents.items():
        for name, node in _definitions(_parsed(content)):
            if isinstance(node, ast.ClassDef) or len(node.body) < 2:
                continue
            sentence = _sentence(ast.get_docstring(node) or "", node.name)
            if len(sentence.split()) >= _SUMMARY_WORDS:
                asked.setdefault(sentence, set()).add((path, name))
    return [Question(text, frozenset(answers)) for text, answers in sorted(asked.items())]


def name_questions(contents: Mapping[str, bytes], count: int) -> list[Question]:
    """Names that one definition has, in whatever case, drawn by hash; no tests, whose names nobody asks for."""
    unique = {
        key: found[0]
        for key, found in _places_by_name(contents).items()
        if len(found) == 1 and len(key) >= _SHORTEST_NAME and not _is_of_tests(found[0][0])
    }
    chosen = sorted(unique, key=lambda key: hashlib.sha256(key.encode()).digest())[:count]
    return [Question(unique[key][1].rpartition(".")[2], frozenset([unique[key]])) for key in chosen]


def share_of_own_names(contents: Mapping[str, bytes]) -> float:
    """How many of the definitions outside of tests have a name that no other one has, in whatever case."""
    found = [
        len(places) == 1
        for places in _places_by_name(contents).values()
        for path, _ in places
        if not _is_of_tests(path)
    ]
    return sum(found) / len(found) if found else 0.0


def _places_by_name(contents: Mapping[str, bytes]) -> dict[str, list[Place]]:
    places: dict[str, list[Place]] = {}
    for path, content in contents.items():
        for name, node in _definitions(_parsed(content)):
            places.setdefault(re.sub(r"[\W_]", "", node.name).lower(), []).append((path, name))
    return places


def piece_questions(contents: Mapping[str, bytes], count: int) -> list[Question]:
    """Four lines out of the middle of functions, drawn by hash; what comes twice is not asked for."""
    found: dict[str, list[Place]] = {}
    for path, content in contents.items():
        lines = content.decode(errors="replace").split("\n")
        for name, node in _definitions(_parsed(content)):
            last = node.end_lineno or 0
            if isinstance(node, ast.ClassDef) or last - node.lineno < _LONG_ENOUGH:
                continue
            middle = (node.lineno + last) // 2
            piece = "\n".join(lines[middle : middle + _PIECE])
            found.setdefault(piece, []).append((path, name))
    pieces = [piece for piece, places in found.items() if len(places) == 1 and len(piece.split()) > _PIECE]
    pieces.sort(key=lambda piece: hashlib.sha256(piece.encode()).digest())
    return [Question(piece, frozenset(found[piece])) for piece in pieces[:count]]


def in_words(name: str) -> str:
    """A name as somebody would say it: not by the rules of the store, which are to be tried."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return " ".join(spaced.replace("_", " ").lower().split())


def edited(contents: Mapping[str, bytes], share: float) -> dict[str, bytes]:
    """The same files with one more line in a function of some: that share of all, evenly spread over those that can."""
    changed = [(path, with_line) for path, content in contents.items() if (with_line := _with_line(content)) != content]
    return {**contents, **dict(evenly(changed, round(share * len(contents))))}


def evenly(things: Sequence[T], count: int) -> list[T]:
    """So many of all, from the beginning to the end; all when there are fewer."""
    count = min(count, len(things))
    return [things[number * len(things) // count] for number in range(count)]


def _with_line(content: bytes) -> bytes:
    return re.sub(rb"(\ndef \w+\([^()]*\):\n)( +)", rb"\1\2edited = 'here'\n\2", content, count=1)


def _is_its_own(path: Path, *, tests: bool) -> bool:
    return _NOT_ITS_OWN.isdisjoint(path.parts) and (tests or not _is_of_tests(path.as_posix()))


def _is_of_tests(path: str) -> bool:
    return not _TESTS.isdisjoint(path.split("/"))


def _parsed(content: bytes) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old escapes
        try:
            return ast.parse(content)
        except (SyntaxError, ValueError):
            return None


def _definitions(tree: ast.AST | None, around: str = "") -> Iterator[tuple[str, Definition]]:
    for node in ast.iter_child_nodes(tree) if tree is not None else ():
        if isinstance(node, Definition):
            name = f"{around}{node.name}"
            yield name, node
            yield from _definitions(node, f"{name}.")
        else:
            yield from _definitions(node, around)


def _docstring_node(node: ast.AST) -> ast.Expr | None:
    if not isinstance(node, Definition | ast.Module) or not node.body:
        return None
    match node.body[0]:
        case ast.Expr(value=ast.Constant(value=str())) as docstring:
            return docstring
    return None


def _sentence(docstring: str, name: str) -> str:
    first, _, rest = docstring.strip().partition("\n\n")
    if first.startswith(f"{name}("):  # a signature comes first
        first = rest.partition("\n\n")[0]
    return re.split(r"(?<=[.!?])\s", " ".join(first.split()), maxsplit=1)[0]
