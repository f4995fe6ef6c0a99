"""What binds a name hides the function of that name that is further out."""

import pytest

from store.code.cutting import cut
from tests.code_graph import edges_of, resolve_sources

_JS = 'import {f} from "./api"\n'
_PATH = {
    "c": "a.c",
    "cpp": "a.cpp",
    "go": "p/a.go",
    "js": "c.js",
    "ts": "c.ts",
    "python": "a.py",
    "rust": "src/lib.rs",
}
_OTHER = ("api.js", b"export function f(){}\n"), ("api.ts", b"export function f(){}\n")


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("js", _JS + "export function C({f}){ f() }\n"),
        ("js", _JS + "export function C({a: [{f = 1}]}){ f() }\n"),
        ("js", _JS + "export const C = ({f}) => f()\n"),
        ("js", _JS + "export function C(...f){ f() }\n"),
        ("js", _JS + "function C(a){ for (const [f] of a) f() }\n"),
        ("js", _JS + "function C(a){ const {b: {f}} = a; f() }\n"),
        ("js", _JS + "function C(a){ const [, ...f] = a; f() }\n"),
        ("js", _JS + "function C(a){ try {} catch ({f}) { f() } }\n"),
        ("ts", _JS + "export function C({f}: P){ f() }\n"),
        ("ts", _JS + "export const C = ([f]: P) => f()\n"),
        ("rust", "fn f(){}\nfn a(t: T){ let (f, _) = t; f(); }\n"),
        ("rust", "fn f(){}\nfn a((f, _): T){ f(); }\n"),
        ("rust", "fn f(){}\nfn a(o: T){ if let Some(f) = o { f(); } }\n"),
        ("rust", "fn f(){}\nfn a(o: T){ for f in o { f(); } }\n"),
        ("rust", "fn f(){}\nfn a(o: T){ o.map(|&f| f()); }\n"),
        ("rust", "fn f(){}\nfn a(o: T){ match o { P { f, .. } => f(), _ => {} } }\n"),
        ("c", "void f(int x){}\nvoid a(void (*f)(int)){ f(1); }\n"),
        ("c", "void f(int x){}\nvoid a(){ void (*f)(int) = 0; f(1); }\n"),
        ("cpp", "void f(int x){}\nvoid a(V& v){ for (auto f : v) f(1); }\n"),
        ("cpp", "void f(int x){}\nvoid a(){ auto& [f, x] = g(); f(1); }\n"),
        ("go", "package p\nfunc f(){}\nfunc a(c chan func()){ select { case f := <-c: f() } }\n"),
        ("go", "package p\nfunc f(){}\nfunc a(x any){ switch f := x.(type) { case func(): f() } }\n"),
        ("python", "def f(): ...\ndef a(v):\n    match v:\n        case (f, 1): f()\n"),
        ("python", "def f(): ...\ndef a(v):\n    match v:\n        case {'k': f}: f()\n"),
        ("python", "def f(): ...\ndef a(v):\n    match v:\n        case P(x=[*f]): f()\n"),
        ("python", "def f(): ...\ndef a(v):\n    match v:\n        case int() as f: f()\n"),
    ],
)
def test_a_name_of_a_pattern_is_not_the_function_further_out(language: str, text: str) -> None:
    resolved = resolve_sources((_PATH[language], text.encode()), *_OTHER)
    calls = {call for call in edges_of(resolved, "calls") if call[1].rpartition(".")[2] == "f"}
    assert {(callee, sure) for _, callee, sure in calls} == {("f", "UNRESOLVED")}


@pytest.mark.parametrize(
    ("language", "text", "call"),
    [
        ("c", "void reg(void (*f)(int));\nvoid f(int x){}\nvoid a(){ f(1); }\n", ("a", "f", "RESOLVED")),
        ("rust", "fn f(){}\nfn a(o: T){ match o { P { g, h: X } if f() => {}, _ => f() } }\n", ("crate.a", "crate.f")),
        ("js", _JS + "export function C({f: g, h = f()}){ f() }\n", ("c.C", "api.f")),
        ("python", "class f: ...\ndef a(v):\n    match v:\n        case f(f=1) | q.f: f()\n", ("a.a", "a.f")),
    ],
)
def test_names_in_patterns_that_bind_nothing_hide_nothing(language: str, text: str, call: tuple[str, ...]) -> None:
    resolved = resolve_sources((_PATH[language], text.encode()), *_OTHER)
    assert (*call, "RESOLVED")[:3] in edges_of(resolved, "calls")


def test_paths_of_nested_lists_of_rust_end() -> None:
    outline = cut("src/lib.rs", b"use " + b"a::{b," * 2_000 + b"c" + b"}" * 2_000 + b";\n").outline
    assert all(len(each.module) < 500 for each in outline.imports)


def test_a_value_of_a_type_from_elsewhere_is_called_by_its_own_name() -> None:
    source = (
        b"from typing import Callable\nclass A:\n    def __init__(self, cb: Callable):\n        self.cb = cb\n"
        b"    def go(self): self.cb()\ndef run(cb: Callable): cb()\n"
    )
    calls = edges_of(resolve_sources(("a.py", source)), "calls")
    assert calls == {("a.run", "cb", "UNRESOLVED"), ("a.A.go", "cb", "UNRESOLVED")}


def test_what_has_an_empty_name_is_not_the_top_of_its_file() -> None:
    resolved = resolve_sources(("a.js", b'x = {"": () => 1}\nfoo()\nfunction foo(){}\n'))
    assert edges_of(resolved, "calls") == {("a.js", "a.foo", "RESOLVED")}


def test_a_variable_of_java_does_not_hide_a_method() -> None:
    resolved = resolve_sources(
        ("R.java", b"record R(String name) { String up(){ return name().toUpperCase(); } }\n"),
        ("P.java", b"class P { String n; String n(){ return n; } void y(String n){ n(); n().go(); } }\n"),
        ("Q.java", b"class Q extends P { String f; void z(Runnable n){ n(); n.run(); f(); } }\n"),
    )
    assert edges_of(resolved, "calls") == {
        ("R.up", "name", "UNRESOLVED"),
        ("R.up", "toUpperCase", "UNRESOLVED"),
        ("P.y", "P.n", "RESOLVED"),
        ("P.y", "String.go", "UNRESOLVED"),
        ("Q.z", "P.n", "RESOLVED"),
        ("Q.z", "Runnable.run", "UNRESOLVED"),
        ("Q.z", "f", "UNRESOLVED"),
    }
