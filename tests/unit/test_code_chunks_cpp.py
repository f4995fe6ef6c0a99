"""C++ is cut into chunks along its definitions: a golden test of boundaries, names and nesting."""

from store.code.source import CutMethod
from tests.code_files import assert_whole, chunks_of, source, symbol, symbols_of

FILE = assert_whole("matrix.cpp", source("matrix.cpp"))


def test_the_file_is_cut_along_its_syntax() -> None:
    assert (FILE.language, FILE.method, FILE.note) == ("cpp", CutMethod.SYNTAX, "")


def test_chunks_are_definitions_parts_of_large_ones_and_small_neighbours_together() -> None:
    assert chunks_of(FILE) == [
        "1-5 MODULE -",
        (
            "7-79 CLASS math.linear.Index: Index Number Matrix Matrix Matrix ~Matrix at operator+ operator "
            "bool each Order Cursor operator++ operator== times"
        ),
        "81-106 METHOD math.linear.Matrix.transpose: transpose turned norm",
        "108-121 FUNCTION square: square operator<< matrix_version Point Either",
    ]


def test_definitions_have_names_nesting_and_parameters() -> None:
    assert symbols_of(FILE) == [
        "9-9 CLASS math.linear Index()",
        "11-12 CLASS math.linear Number()",
        "14-79 CLASS math.linear Matrix()",
        "20-20 METHOD math.linear.Matrix Matrix(rows, columns)",
        "21-21 METHOD math.linear.Matrix Matrix()",
        "22-22 METHOD math.linear.Matrix ~Matrix()",
        "24-29 METHOD math.linear.Matrix at(row, column)",
        "31-37 METHOD math.linear.Matrix operator+(other)",
        "39-39 METHOD math.linear.Matrix operator bool()",
        "41-46 METHOD math.linear.Matrix each(apply)",
        "50-50 CLASS math.linear.Matrix Order()",
        "52-57 CLASS math.linear.Matrix Cursor()",
        "55-55 METHOD math.linear.Matrix.Cursor operator++()",
        "56-56 METHOD math.linear.Matrix.Cursor operator==(other)",
        "59-74 METHOD math.linear.Matrix times(other)",
        "81-92 METHOD math.linear.Matrix transpose()",
        "84-86 FUNCTION math.linear.Matrix.transpose turned(i)",
        "96-102 FUNCTION math.linear norm(values, power)",
        "108-108 FUNCTION - square(value)",
        "110-112 METHOD math.linear operator<<(out, matrix)",
        "114-114 FUNCTION - matrix_version()",
        "116-116 CLASS - Point()",
        "118-121 CLASS - Either()",
    ]


def test_what_a_definition_says_about_itself() -> None:
    matrix = symbol(FILE, "math.linear.Matrix")
    assert matrix.signature == (
        "template <Number T, int N = 3> class Matrix final : public Base<T>, private detail::Storage"
    )
    assert matrix.docstring == "Rows and columns.\n\nRows come one after another."
    assert matrix.bases == ("Base<T>", "detail::Storage")
    assert symbol(FILE, "math.linear.Matrix.at").decorators == ("nodiscard",)
    assert symbol(FILE, "math.linear.Matrix.transpose").docstring == "Turns it."


def test_a_namespace_is_no_definition_but_gives_its_name_to_what_is_in_it() -> None:
    assert not [each for each in FILE.outline.symbols if each.qualified_name == "math.linear"]
    assert symbol(FILE, "math.linear.norm").parent == "math.linear"
