"""JavaScript is cut into chunks along its definitions: a golden test of boundaries, names and nesting."""

from store.code.source import CutMethod
from tests.code_files import assert_whole, chunks_of, source, symbol, symbols_of

FILE = assert_whole("cart.jsx", source("cart.jsx"))


def test_the_file_is_cut_along_its_syntax() -> None:
    assert (FILE.language, FILE.method, FILE.note) == ("javascript", CutMethod.SYNTAX, "")


def test_chunks_are_definitions_parts_of_large_ones_and_small_neighbours_together() -> None:
    assert chunks_of(FILE) == [
        "1-27 FUNCTION total: total withTax half pages",
        "29-91 CLASS Cart: Cart constructor empty load add onToggle changes render",
        "93-111 METHOD Cart.clear: fetch remove clear Empty isEmpty",
    ]


def test_definitions_have_names_nesting_and_parameters() -> None:
    assert symbols_of(FILE) == [
        "8-15 FUNCTION - total(items, currency)",
        "17-21 FUNCTION - withTax(amount, rate)",
        "23-23 FUNCTION - half(amount)",
        "25-27 FUNCTION - pages(size, filters)",
        "29-91 CLASS - Cart()",
        "33-37 METHOD Cart constructor(props)",
        "39-42 METHOD Cart empty()",
        "44-47 METHOD Cart load(id)",
        "49-55 METHOD Cart add(item, count)",
        "57-59 METHOD Cart onToggle()",
        "61-63 METHOD Cart changes()",
        "65-90 METHOD Cart render()",
        "95-97 FUNCTION api fetch(path)",
        "98-100 FUNCTION api remove(path)",
        "103-105 METHOD Cart clear()",
        "107-111 CLASS - Empty()",
        "108-110 METHOD Empty isEmpty()",
    ]


def test_what_a_definition_says_about_itself() -> None:
    total = symbol(FILE, "total")
    assert total.signature == "export function total(items, { currency = 'EUR' } = {})"
    assert total.docstring == "What a basket costs.\n\n@param {Array} items with price and count"
    assert symbol(FILE, "withTax").docstring == "Adds tax."
    assert symbol(FILE, "Cart").bases == ("React.Component",)
    assert symbol(FILE, "Cart.empty").docstring == "Whether nothing is in it."
    assert symbol(FILE, "Empty").signature == "module.exports.Empty = class"
