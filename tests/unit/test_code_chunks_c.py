"""C is cut into chunks along its definitions: a golden test of boundaries, names and nesting."""

from store.code.source import CutMethod
from tests.code_files import assert_whole, chunks_of, source, symbol, symbols_of

FILE = assert_whole("ring.c", source("ring.c"))


def test_the_file_is_cut_along_its_syntax() -> None:
    assert (FILE.language, FILE.method, FILE.note) == ("c", CutMethod.SYNTAX, "")


def test_chunks_are_definitions_parts_of_large_ones_and_small_neighbours_together() -> None:
    assert chunks_of(FILE) == [
        "1-34 FUNCTION MIN: MIN byte ring point node ring_state callback",
        "36-52 FUNCTION ring_write: ring_write",
        "54-62 FUNCTION ring_nodes: ring_nodes",
        "64-85 FUNCTION old_style: old_style choose ring_dump ring_dump",
    ]


def test_definitions_have_names_nesting_and_parameters() -> None:
    assert symbols_of(FILE) == [
        "8-8 FUNCTION - MIN(a, b)",
        "10-10 CLASS - byte()",
        "12-16 CLASS - ring()",
        "18-21 CLASS - point()",
        "23-26 CLASS - node()",
        "28-28 CLASS - ring_state()",
        "30-30 CLASS - callback(data, length)",
        "36-52 FUNCTION - ring_write(r, data, length)",
        "54-62 FUNCTION - ring_nodes(r, compare, sizes)",
        "64-70 FUNCTION - old_style(a, b)",
        "72-76 FUNCTION - choose(state)",
        "79-82 FUNCTION - ring_dump(r)",
        "84-84 FUNCTION - ring_dump(r)",
    ]


def test_what_a_definition_says_about_itself() -> None:
    write = symbol(FILE, "ring_write")
    assert write.signature == "size_t ring_write(struct ring *r, const byte *data, size_t length)"
    assert write.docstring == ("ring_write() - puts bytes in.\n@r: the ring\n\nReturns how many there was room for.")
    assert symbol(FILE, "old_style").docstring == "As it was written in 1985."
    assert symbol(FILE, "choose").signature == "int (*choose(enum ring_state state))(int, char *)"


def test_what_is_only_declared_is_no_definition() -> None:
    assert "ring_open" not in {each.name for each in FILE.outline.symbols}
