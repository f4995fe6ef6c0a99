"""TSX is cut into chunks along its definitions: a golden test of boundaries, names and nesting."""

from store.code.source import CutMethod
from tests.code_files import assert_whole, chunks_of, source, symbol, symbols_of

FILE = assert_whole("panel.tsx", source("panel.tsx"))


def test_the_file_is_cut_along_its_syntax() -> None:
    assert (FILE.language, FILE.method, FILE.note) == ("tsx", CutMethod.SYNTAX, "")


def test_chunks_are_definitions_parts_of_large_ones_and_small_neighbours_together() -> None:
    assert chunks_of(FILE) == [
        "1-11 CLASS Props: Props List",
        "13-30 FUNCTION Panel: Panel onClear",
    ]


def test_definitions_have_names_nesting_and_parameters() -> None:
    assert symbols_of(FILE) == [
        "4-7 CLASS - Props()",
        "9-11 FUNCTION - List(items, render)",
        "13-28 FUNCTION - Panel(store)",
        "19-21 FUNCTION Panel onClear()",
    ]


def test_what_a_component_says_about_itself() -> None:
    assert symbol(FILE, "Panel").docstring == "A panel that shows what is in a store."
    assert symbol(FILE, "List").signature == "export function List<T,>({ items, render }: Props<T>)"
