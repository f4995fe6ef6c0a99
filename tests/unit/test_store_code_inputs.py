"""What the TEXT model reads of chunks with several definitions: something of each of them."""

from store.code.cutting import cut
from store.code.inputs import text_input
from store.code.source import Chunk, CodeKind, CutFile, Span
from tests.code_files import source, sources

SMALL = '''"""Says what the file is for."""

from functools import cache


class Page:
    """A page of a list."""

    def is_last(self, token):
        """Says whether nothing follows."""
        return not token

    @cache
    def size(self, rows, most):
        """Counts what fits."""
        return most if rows and most else 0


def turn(page):
    """Goes to the next one."""
    return page
'''


def said_of(path: str, file: CutFile) -> str:
    return "\n".join(text_input(path, chunk) for chunk in file.chunks)


def test_each_definition_of_a_chunk_says_its_name_its_signature_and_its_docstring() -> None:
    file = cut("pages.py", SMALL.encode())
    [chunk] = file.chunks
    said = text_input("pages.py", chunk)
    assert said.split("\n")[:6] == [
        "page, is last, size, turn",
        "Says what the file is for.",
        "A page of a list.",
        "Says whether nothing follows.",
        "Counts what fits.",
        "Goes to the next one.",
    ]
    for signature in ("def is last self token", "def size self rows most", "def turn page"):
        assert signature in said
    assert chunk.docstring == "A page of a list."
    assert (chunk.complexity, chunk.kind, chunk.kinds) == (
        3,
        CodeKind.CLASS,
        frozenset({CodeKind.MODULE, CodeKind.CLASS, CodeKind.METHOD, CodeKind.FUNCTION}),
    )


def test_no_docstring_of_any_language_is_left_out() -> None:
    for name in sources():
        file = cut(name, source(name))
        said = said_of(name, file)
        assert [each.qualified_name for each in file.outline.symbols if each.docstring[:40] not in said] == []


def test_parts_of_a_large_definition_say_what_it_is_called_and_the_first_what_it_says() -> None:
    body = "".join(f"    total_{number} = values[{number}] * weights[{number}]\n" for number in range(90))
    first, second = cut("run.py", f'def run(values):\n    """Adds up."""\n{body}'.encode()).chunks
    assert "Adds up." in text_input("run.py", first)
    assert (second.docstrings, second.signatures, second.kinds) == (
        (),
        ("def run(values)",),
        frozenset({CodeKind.FUNCTION}),
    )
    assert text_input("run.py", second) == "run\ndef run values\nrun py"


def test_a_long_docstring_leaves_room_for_others() -> None:
    chunk = Chunk(
        CodeKind.CLASS,
        Span(0, 9, 1, 2),
        "",
        symbols=("A", "A.b", "A.c"),
        signatures=("class A", "def b(" + "argument, " * 90 + ")", "def c(key)"),
        docstrings=("long " * 800, "Says what b is.", "other " * 700),
    )
    said = text_input("a.py", chunk)
    assert len(said) <= 2000
    for text in ("a, b, c\n", "Says what b is.", "def b argument", "def c key"):
        assert text in said
    assert abs(said.count("long ") * 5 - said.count("other ") * 6) < 12
