"""Files whose syntax once took quadratic time: without the bound these tests do not come to an end."""

from store.code.cutting import cut
from store.code.symbols import MAX_DOCSTRING


def test_white_space_in_comments_is_read_once() -> None:
    comment = f"/* a{' ' * 15_000}b\n * c **/\n"
    file = cut("a.c", f"{comment * 20}int f(void) {{ return 1; }}\n".encode())
    [function] = file.outline.symbols
    assert cut("a.c", b"/** a  \n * b  **/\nint f(void) { return 1; }\n").outline.symbols[0].docstring == "a  \nb"
    assert len(function.docstring) <= MAX_DOCSTRING
    assert function.docstring.startswith("a")


def test_any_number_of_empty_namespaces_is_left_out() -> None:
    content = "namespace a {\n" + "namespace b {}\n" * 60_000 + "void f() {}\n}\n"
    assert [each.qualified_name for each in cut("a.cpp", content.encode()).outline.symbols] == ["a.f"]
