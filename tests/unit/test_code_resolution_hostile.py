"""Repositories that would take for ever, or more calls than Python has, and sources that resolving did not survive."""

from typing import Any

import pytest

from store.code import meaning
from store.code.meanings import Meanings
from store.code.repository_index import Definition, SourceFile
from store.graph import Edge
from tests.code_graph import edges_of, resolve_sources


def _chain(name: str, link: str, last: str, count: int) -> list[tuple[str, bytes]]:
    """Files each of which has what the next one has."""
    files = [(name.format(number), link.format(number + 1).encode()) for number in range(count)]
    return [*files, (name.format(count), last.encode())]


@pytest.mark.parametrize(
    ("name", "link", "last", "main"),
    [
        ("m{}.py", "from m{} import x\n", "def x(): ...\n", ("main.py", b"from m0 import x\nx()\n")),
        ("m{}.py", "from m{} import *\n", "def x(): ...\n", ("main.py", b"from m0 import x\nx()\n")),
        ("m{}.js", 'export * from "./m{}"\n', "export function x(){}\n", ("main.js", b'import {x} from "./m0"\nx()\n')),
        (
            "m{}.js",
            'export {{x}} from "./m{}"\n',
            "export function x(){}\n",
            ("z.js", b'import {x} from "./m0"\nx()\n'),
        ),
    ],
)
def test_names_that_come_over_hundreds_of_files_do_not_end_the_resolving(
    name: str, link: str, last: str, main: tuple[str, bytes]
) -> None:
    resolved = resolve_sources(*_chain(name, link, last, 500), main)
    assert len([call for call in edges_of(resolved, "calls") if call[1].endswith("x")]) == 1


def test_a_name_over_twenty_files_is_found() -> None:
    files = _chain("m{}.py", "from m{} import x\n", "def x(): ...\n", 20)
    assert ("main.py", "m20.x", "RESOLVED") in edges_of(
        resolve_sources(*files, ("main.py", b"from m0 import x\nx()\n")), "calls"
    )


@pytest.mark.parametrize("link", ["from m{} import *\n", "from m{} import u0, u1, u2\n"])
def test_files_that_all_import_each_other_are_read_once(link: str) -> None:
    calls = "def q():\n    u0(); u1(); u2()\n"
    files = [
        (f"m{number}.py", ("".join(link.format(other) for other in range(60) if other != number) + calls).encode())
        for number in range(60)
    ]
    resolved = resolve_sources(*files, ("m60.py", b"from m3 import q\nq()\n"))
    assert ("m60.py", "m3.q", "RESOLVED") in edges_of(resolved, "calls")


def test_a_star_finds_the_same_whatever_circle_it_is_in() -> None:
    files = [(f"m{number}.py", f"from m{(number + 1) % 90} import *\n".encode()) for number in range(90)]
    files[70] = ("m70.py", files[70][1] + b"def x(): ...\n")
    main = ("main.py", b"".join(b"from m%d import x as x%d\nx%d()\n" % (n, n, n) for n in range(90)))
    assert edges_of(resolve_sources(*files, main), "calls") == {("main.py", "m70.x", "RESOLVED")}


def test_attributes_that_are_each_other_in_many_ways_end() -> None:
    methods = "".join(
        f"    def f{way}(self):\n" + "".join(f"        self.a{n} = self.a{n + 1}\n" for n in range(60))
        for way in range(4)
    )
    resolved = resolve_sources(
        ("a.py", f"class self: ...\nclass A:\n{methods}    def go(self): self.a0.run()\n".encode())
    )
    assert edges_of(resolved, "calls") == {("a.A.go", "run", "UNRESOLVED")}


def test_thousands_of_definitions_of_one_name_do_not_take_the_square(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 2_000
    looked_at: list[Definition] = []
    is_variant = meaning._is_variant

    def count_looks(one: Definition) -> bool:
        looked_at.append(one)
        return is_variant(one)

    monkeypatch.setattr(meaning, "_is_variant", count_looks)
    source = "def f():0\n" * count + "".join(f"def g{number}():f()\n" for number in range(count))
    resolved = resolve_sources(("a.py", source.encode()))
    last = next(node for node in resolved.nodes if node.properties.get("start_line") == count)
    called: list[Edge] = [edge for edge in resolved.edges if edge.type == "calls"]
    assert len(called) == count
    assert {edge.target_id for edge in called} == {last.id}
    assert len(looked_at) <= 2 * count


def test_of_definitions_of_one_name_the_one_around_a_line_is_meant() -> None:
    source = "def f():\n    a()\n" * 5
    resolved = resolve_sources(("a.py", source.encode()))
    lines = {node.id: node.properties.get("start_line") for node in resolved.nodes}
    calls = {lines[edge.source_id]: edge.properties["lines"] for edge in resolved.edges if edge.type == "calls"}
    assert calls == {1: [2], 3: [4], 5: [6], 7: [8], 9: [10]}


@pytest.mark.parametrize(
    "statement",
    [
        "std::integral_constant<bool, (N > decltype(a::b)::value)>::type();",
        "A<decltype(x->c(decltype(d::e)::f))>::g();",
        "A<(1>b[c::d]::f)>::g();",
        "std::conditional_t<(N > decltype(a::b)::value), int, long> z; z.go();",
    ],
)
def test_templates_that_close_more_than_they_open_end_nothing(statement: str) -> None:
    resolved = resolve_sources(("a.cpp", f"void f() {{}}\nvoid m() {{ {statement} f(); }}\n".encode()))
    assert resolved.unresolved == []
    assert ("m", "f", "RESOLVED") in edges_of(resolved, "calls")


@pytest.mark.parametrize(
    ("there", "importer"),
    [
        (("main.go", b"package p\nfunc f() {}"), ("a.ts", b'import x from "./main.go"\nx.f()')),
        (("A.java", b"class A {}"), ("a.js", b'const x = require("./A.java")\nx.f()')),
        (("cgo.go", b"package p"), ("a.h", b'#include "cgo.go"')),
    ],
)
def test_a_file_of_a_package_is_no_module_of_another_language(
    there: tuple[str, bytes], importer: tuple[str, bytes]
) -> None:
    resolved = resolve_sources(there, importer)
    assert resolved.unresolved == []
    [(_, label, confidence)] = edges_of(resolved, "imports")
    assert (label.endswith(there[0]), confidence) == (True, "UNRESOLVED")


def test_a_file_that_cannot_be_resolved_costs_no_other_its_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    of = Meanings.of

    def fail_in_one(self: Meanings, file: SourceFile, *arguments: Any, **options: Any) -> Any:
        if file.path == "bad.py":
            raise RecursionError
        return of(self, file, *arguments, **options)

    monkeypatch.setattr(Meanings, "of", fail_in_one)
    source = b"def f(): ...\ndef g(): f()\n"
    resolved = resolve_sources(("bad.py", source), ("good.py", source))
    assert resolved.unresolved == ["bad.py"]
    assert edges_of(resolved, "calls") == {("good.g", "good.f", "RESOLVED")}
    assert ("bad.py", "bad.f", "RESOLVED") in edges_of(resolved, "contains")
