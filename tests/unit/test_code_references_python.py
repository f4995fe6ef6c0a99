"""What is read off a file of Python."""

import pytest

from store.code.cutting import cut
from store.code.source import Binding, Import, Outline, ReferenceKind


def _outline(text: str) -> Outline:
    return cut("sample.py", text.encode()).outline


def _calls(text: str) -> list[tuple[str, str, int]]:
    references = _outline(text).references
    return [(each.target, each.scope, each.line) for each in references if each.kind is ReferenceKind.CALLS]


def _bindings(text: str) -> dict[str, str]:
    return {binding.name: binding.type_name for binding in _outline(text).bindings}


def test_imports_say_what_they_bind_and_where() -> None:
    text = (
        "import os.path, json as j\n"
        "from . import models\n"
        "from ..core.base import (Base as B,\n    other)\n"
        "from x import *\n"
        "def f():\n    import late\n"
    )
    assert _outline(text).imports == (
        Import("os.path", "", "os.path", 1),
        Import("json", "", "j", 1),
        Import(".", "models", "models", 2),
        Import("..core.base", "Base", "B", 3),
        Import("..core.base", "other", "other", 4),
        Import("x", "*", "", 5),
        Import("late", "", "late", 7, "f"),
    )


def test_calls_are_named_as_written_with_the_innermost_definition() -> None:
    text = (
        "class A:\n"
        "    def f(self):\n"
        "        self.x.go(len(y))\n"
        "        def g():\n"
        "            Path(a).open()[0].read()\n"
        "top()\n"
    )
    assert _calls(text) == [
        ("self.x.go", "A.f", 3),
        ("len", "A.f", 3),
        ("Path", "A.f.g", 5),
        ("Path().open", "A.f.g", 5),
        ("Path().open()[].read", "A.f.g", 5),
        ("top", "", 6),
    ]


def test_what_is_no_name_is_a_question_mark_and_a_called_result_is_no_call_of_a_name() -> None:
    assert _calls("(a or b).go()\n(lambda: 1)()\nf()()\nx[0]()\n''.join(y)\n") == [
        ("?.go", "", 1),
        ("f", "", 3),
        ("str().join", "", 5),
    ]


def test_a_call_over_many_lines_is_where_its_name_is() -> None:
    assert [(target, line) for target, _, line in _calls("(\n  a\n  .b()\n  .c()\n)\n")] == [("a.b", 3), ("a.b().c", 4)]


def test_a_decorator_is_used_by_what_it_decorates_and_called_where_that_is() -> None:
    text = "import web\nclass A:\n    @web.route(path())\n    @staticmethod\n    def f(): ...\n"
    references = _outline(text).references
    assert [(each.kind, each.target, each.scope) for each in references] == [
        (ReferenceKind.REFERENCES, "web.route", "A.f"),
        (ReferenceKind.CALLS, "web.route", "A"),
        (ReferenceKind.CALLS, "path", "A.f"),
        (ReferenceKind.CALLS, "staticmethod", "A"),
        (ReferenceKind.REFERENCES, "staticmethod", "A.f"),
    ]


def test_bases_are_without_their_arguments_and_a_metaclass_is_no_base() -> None:
    references = _outline("from t import G, M\nclass A(G[int], m.B, metaclass=M): ...\n").references
    assert [(each.kind, each.target) for each in references] == [
        (ReferenceKind.INHERITS, "G"),
        (ReferenceKind.INHERITS, "m.B"),
        (ReferenceKind.REFERENCES, "M"),
    ]


def test_values_count_where_a_definition_is_handed_on() -> None:
    text = (
        "from m import Error, late\n"
        "def f(a: Error = late):\n"
        "    try: g(f, key=late, x=unknown)\n"
        "    except (Error, ValueError): return late\n"
        "TABLE = {'f': f}\n"
    )
    found = [each.target for each in _outline(text).references if each.kind is ReferenceKind.REFERENCES]
    assert found == ["Error", "late", "f", "late", "Error", "late", "f"]


@pytest.mark.parametrize(
    ("annotation", "type_name"),
    [
        ("Foo", "Foo"),
        ("m.Foo", "m.Foo"),
        ('"Foo"', "Foo"),
        ("Foo | None", "Foo"),
        ('"None | Foo"', "Foo"),
        ("Optional[m.Foo]", "m.Foo"),
        ("typing.Union[Foo, None]", "Foo"),
        ("Annotated[Foo, 3]", "Foo"),
        ("type[Foo]", "=Foo"),
        ("Foo | Bar", ""),
        ("list[Foo]", "list"),
        ("Callable[[int], Foo]", "Callable"),
        ("3 + x", ""),
    ],
)
def test_an_annotation_says_which_class(annotation: str, type_name: str) -> None:
    assert _bindings(f"def f(x: {annotation}):\n    x.go()\n").get("x", "") == type_name


@pytest.mark.parametrize(
    ("statement", "type_name"),
    [
        ("x = Foo(1)", "Foo()"),
        ("x = m.foo().bar()", "m.foo().bar()"),
        ("x = given or Foo()", "Foo()"),
        ("x = foo", "=foo"),
        ("x: TypeAlias = foo", "=foo"),
        ("x: Foo = foo", "Foo"),
        ("x = []", "list()"),
        ("x = None", "None"),
        ("x = a[0]", ""),
        ("x, y = pair", ""),
        ("x += 1", ""),
        ("for x in y: pass", ""),
        ("with Foo() as x: pass", "Foo()"),
        ("with a, Foo() as (x, y): pass", ""),
        ("if (x := Foo()): pass", "Foo()"),
        ("try: pass\n    except Error as x: pass", "Error"),
        ("[x for x in y]", ""),
        ("lambda x: x", ""),
    ],
)
def test_a_variable_is_what_it_was_assigned(statement: str, type_name: str) -> None:
    assert _bindings(f"def f():\n    {statement}\n    x.go()\n")["x"] == type_name


def test_a_global_belongs_to_the_file() -> None:
    text = "def f():\n    global x\n    x = Foo()\n    x.go()\n"
    assert _outline(text).bindings == (Binding("x", "Foo()", ""),)


def test_names_that_nobody_asks_for_are_left_out() -> None:
    """Most variables: an outline of them would be longer than the file."""
    text = "def f(a, b):\n    c = a + b\n    d = []\n    for e in d: print(c)\n    self.f = a\n"
    assert [binding.name for binding in _outline(text).bindings] == []


def test_a_broken_file_gives_what_can_be_read() -> None:
    assert ("good", "", 1) in _calls("good()\ndef f(:\n  bad(\n")


@pytest.mark.parametrize(
    "text",
    [
        "f(" * 3000 + ")" * 3000,
        "a" + ".b()" * 3000,
        "x = " + "(" * 3000 + "1" + ")" * 3000,
        "x: " + "A[" * 3000 + "]" * 3000,
        "import " + "a." * 3000 + "b",
        "@" * 3000,
        "class A(" * 1000,
    ],
)
def test_deep_and_long_sources_are_read_all_the_same(text: str) -> None:
    assert all(len(each.target) < 2000 for each in _outline(text + "\n").references)
