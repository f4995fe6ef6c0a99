"""Nodes, ids, and what becomes of names that are not plain."""

import pytest

from store.code.resolution import Resolved
from store.graph import Edge, Node
from tests.code_graph import Call, code_graph_files, edges_of, resolve_sources


def _calls(**sources: str) -> set[Call]:
    """Of files whose paths have `__` for `/`."""
    return edges_of(resolve_sources(*_files(sources)), "calls")


def _files(sources: dict[str, str]) -> list[tuple[str, bytes]]:
    return [(f"{name.replace('__', '/')}.py", text.encode()) for name, text in sources.items()]


def _node(resolved: Resolved, label: str) -> Node:
    return next(node for node in resolved.nodes if node.label == label)


def _call(resolved: Resolved, source: str, target: str) -> Edge:
    labels = {node.id: node.label for node in resolved.nodes}
    calls = (edge for edge in resolved.edges if edge.type == "calls")
    return next(edge for edge in calls if (labels[edge.source_id], labels[edge.target_id]) == (source, target))


def test_ids_stay_whatever_the_order_of_the_files() -> None:
    files = code_graph_files("shop")
    one, other = resolve_sources(*files), resolve_sources(*reversed(files))
    assert {node.id: node.label for node in one.nodes} == {node.id: node.label for node in other.nodes}
    assert {edge.id: edge.confidence for edge in one.edges} == {edge.id: edge.confidence for edge in other.edges}


def test_ids_of_two_repositories_have_nothing_in_common() -> None:
    files = code_graph_files("web")
    one, other = resolve_sources(*files, repository="one"), resolve_sources(*files, repository="other")
    assert not {node.id for node in one.nodes} & {node.id for node in other.nodes}
    assert not {edge.id for edge in one.edges} & {edge.id for edge in other.edges}
    assert {node.namespace for node in one.nodes} == {edge.namespace for edge in one.edges} == {"code/one"}


@pytest.mark.parametrize("part", ["shop", "web", "go", "rust", "java", "c", "cpp"])
def test_every_edge_is_there_once_and_has_both_ends(part: str) -> None:
    resolved = resolve_sources(*code_graph_files(part))
    nodes = {node.id for node in resolved.nodes}
    assert len(nodes) == len(resolved.nodes)
    assert len({(edge.source_id, edge.type, edge.target_id) for edge in resolved.edges}) == len(resolved.edges)
    assert len({edge.id for edge in resolved.edges}) == len(resolved.edges)
    assert all(edge.source_id in nodes and edge.target_id in nodes for edge in resolved.edges)


def test_a_node_says_where_its_definition_is() -> None:
    resolved = resolve_sources(*code_graph_files("shop"))
    node = _node(resolved, "shop.storage.base.Store.save")
    assert node.type == "method"
    assert node.properties == {
        "path": "shop/storage/base.py",
        "name": "save",
        "qualified_name": "Store.save",
        "language": "python",
        "start_line": 18,
        "end_line": 20,
        "signature": "def save(self, key, value)",
    }
    types = {node.label: node.type for node in resolved.nodes}
    assert types["shop/storage/base.py"] == "file"
    assert types["shop.storage.base"] == "module"
    assert types["shop.storage.base.Store"] == "class"
    assert types["shop.events.ping"] == "function"
    assert types["builtins.print"] == "external"


def test_files_and_modules_contain_definitions_and_these_contain_each_other() -> None:
    contains = {
        (source, target) for source, target, _ in edges_of(resolve_sources(*code_graph_files("shop")), "contains")
    }
    assert {
        ("shop/storage/base.py", "shop.storage.base"),
        ("shop/storage/base.py", "shop.storage.base.Store"),
        ("shop.storage.base", "shop.storage.base.Store"),
        ("shop.storage.base.Store", "shop.storage.base.Store.save"),
        ("shop.decorators.logged", "shop.decorators.logged.wrapper"),
        ("shop", "shop.storage"),
        ("shop.storage", "shop.storage.base"),
    } <= contains
    assert ("shop/storage/base.py", "shop.storage.base.Store.save") not in contains


def test_a_method_outside_of_its_type_belongs_to_the_type() -> None:
    contains = edges_of(resolve_sources(*code_graph_files("go")), "contains")
    assert ("go.upload.Client", "go.upload.Client.close", "RESOLVED") in contains
    assert ("go/upload/inner.go", "go.upload.Client.close", "RESOLVED") in contains


def test_calls_of_one_thing_are_one_edge_with_its_lines() -> None:
    resolved = resolve_sources(("a.py", b"def f(): ...\nf()\n\nf()\nf(); f()\n"))
    assert _call(resolved, "a.py", "a.f").properties == {"lines": [2, 4, 5]}


def test_generated_code_does_not_make_an_edge_too_large_to_keep() -> None:
    resolved = resolve_sources(("a.py", b"def f(): ...\n" + b"f()\n" * 5000))
    assert len(_call(resolved, "a.py", "a.f").properties["lines"]) == 200


def test_an_import_leads_to_the_file_and_to_the_definition() -> None:
    imports = edges_of(resolve_sources(*code_graph_files("shop")), "imports")
    assert ("shop/storage/disk.py", "shop/storage/base.py", "RESOLVED") in imports
    assert ("shop/storage/disk.py", "shop.storage.base.Store", "RESOLVED") in imports
    assert ("shop/storage/disk.py", "os.path", "UNRESOLVED") in imports
    assert ("go/cmd/main.go", "go.upload", "RESOLVED") in edges_of(resolve_sources(*code_graph_files("go")), "imports")


def test_definitions_that_are_handed_on_are_referred_to() -> None:
    references = edges_of(resolve_sources(*code_graph_files("shop")), "references")
    assert {
        ("shop.orders.Order.seen", "shop.decorators.logged", "RESOLVED"),
        ("shop.orders.place", "shop.decorators.retry", "RESOLVED"),
        ("shop.orders.cancel", "shop.orders._rank", "RESOLVED"),
        ("shop/events.py", "shop.orders.cancel", "RESOLVED"),
        ("shop.storage.disk.DiskStore.save", "shop.storage.base.StoreError", "RESOLVED"),
        ("shop.storage.memory.lookup", "shop.storage.memory.MemoryStore", "RESOLVED"),
    } <= references
    assert not [edge for edge in references if edge[2] == "UNRESOLVED"]


def test_classes_inherit_over_files() -> None:
    inherits = edges_of(resolve_sources(*code_graph_files("shop")), "inherits")
    assert ("shop.storage.memory.MemoryStore", "shop.storage.base.Store", "RESOLVED") in inherits
    assert ("shop.storage.base.Store", "abc.ABC", "UNRESOLVED") in inherits


def test_two_definitions_of_one_name_are_two_nodes_and_calls_of_them_are_not_sure() -> None:
    text = "if x:\n    def f(): g()\nelse:\n    def f(): h()\ndef g(): ...\ndef h(): ...\nf()\n"
    resolved = resolve_sources(("a.py", text.encode()))
    both = [node for node in resolved.nodes if node.label == "a.f"]
    assert len(both) == len({node.id for node in both}) == 2
    calls = edges_of(resolved, "calls")
    assert calls == {("a.py", "a.f", "INFERRED"), ("a.f", "a.g", "RESOLVED"), ("a.f", "a.h", "RESOLVED")}
    sources = {edge.source_id for edge in resolved.edges if edge.type == "calls"}
    assert {node.id for node in both} <= sources


def test_overloads_do_not_hide_what_they_are_overloads_of() -> None:
    text = "@overload\ndef f(x: int): ...\n@overload\ndef f(x: str): ...\ndef f(x): ...\nf(1)\n"
    resolved = resolve_sources(("a.py", text.encode()))
    edge = _call(resolved, "a.py", "a.f")
    assert edge.confidence == "RESOLVED"
    assert next(node for node in resolved.nodes if node.id == edge.target_id).properties["start_line"] == 5


def test_a_name_that_many_methods_have_is_one_external_and_no_hundred_guesses() -> None:
    classes = "".join(f"class A{number}:\n    def get(self): ...\n" for number in range(100))
    assert _calls(a=f"{classes}\ndef f(x):\n    x.get()\n") == {("a.f", "get", "UNRESOLVED")}


def test_the_only_method_of_its_name_is_likely_unless_values_have_it_too() -> None:
    methods = "class A:\n    def frobnicate(self): ...\n    def append(self): ...\n"
    assert _calls(a=f"{methods}def f(x):\n    x.frobnicate()\n    x.append()\n") == {
        ("a.f", "a.A.frobnicate", "INFERRED"),
        ("a.f", "append", "UNRESOLVED"),
    }


def test_what_a_context_manager_gives_is_not_what_its_function_iterates_over() -> None:
    text = (
        "from collections.abc import Iterator\n"
        "class A:\n    def frobnicate(self): ...\n"
        "@contextmanager\ndef opened() -> Iterator[A]: ...\n"
        "with opened() as a:\n    a.frobnicate()\n"
    )
    calls = _calls(a=text)
    assert ("a.py", "a.A.frobnicate", "INFERRED") in calls
    assert not [call for call in calls if "Iterator" in call[1]]


def test_programs_do_not_call_their_tests() -> None:
    test = "class A:\n    def frobnicate(self): ...\n"
    assert _calls(tests__a=test, b="def f(x): x.frobnicate()\n") == {("b.f", "frobnicate", "UNRESOLVED")}


def test_modules_of_the_standard_library_are_not_files_of_other_folders() -> None:
    calls = _calls(tools__json="def dumps(): ...\n", app__main="import json\njson.dumps()\n")
    assert calls == {("app/main.py", "json.dumps", "UNRESOLVED")}
    assert _calls(json="def dumps(): ...\n", main="import json\njson.dumps()\n") == {
        ("main.py", "json.dumps", "RESOLVED")
    }


def test_packages_are_found_below_the_folder_of_sources_and_otherwise_with_doubt() -> None:
    package = "def go(): ...\n"
    use = "from acme.up import go\ngo()\n"
    assert _calls(src__acme__up=package, tests__use=use) == {("tests/use.py", "up.go", "RESOLVED")}
    assert _calls(vendor__acme__up=package, tests__use=use) == {("tests/use.py", "up.go", "INFERRED")}


def test_circles_end() -> None:
    calls = _calls(
        a="from b import *\nfrom b import x as y\nclass A(B): ...\nA().m()\ny()\nz = z()\nz.go()\n",
        b="from a import *\nfrom a import y as x\nclass B(A):\n    def m(self): self.m()\nx()\n",
    )
    assert ("b.B.m", "b.B.m", "RESOLVED") in calls


def test_a_star_brings_what_other_stars_bring() -> None:
    resolved = resolve_sources(
        ("p/__init__.py", b"from .a import *\n"),
        ("p/a.py", b"from .b import *\n"),
        ("p/b.py", b"def f(): ...\n"),
        ("m.py", b"import p\np.f()\n"),
    )
    assert edges_of(resolved, "calls") == {("m.py", "p.b.f", "RESOLVED")}


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"class A{number}(A{number - 1}): ..." for number in range(1, 2000)) + "\nA1999().m()\n",
        "\n".join(f"a{number} = a{number - 1}" for number in range(1, 2000)) + "\na1999()\n",
        "\n".join(f"def f{number}() -> f{number}: return f{number}()" for number in range(500)),
        "".join(" " * depth + f"def f{depth}():\n" for depth in range(90)) + " " * 90 + "f0()\n",
        "class A(A): ...\nA().m()\nclass B(B.C): ...\nB.x()\n",
        "x" * 5000 + "()\n",
        "def f(): ...\nf." + "a." * 500 + "b()\n",
    ],
)
def test_hostile_sources_give_a_graph_all_the_same(text: str) -> None:
    resolved = resolve_sources(("a.py", text.encode()))
    assert all(len(node.label) <= 1000 for node in resolved.nodes)


def test_files_that_are_no_sources_are_nodes_too() -> None:
    resolved = resolve_sources(("README.md", b"# Hello\n"), ("empty.py", b""))
    assert {(node.type, node.label) for node in resolved.nodes} == {
        ("file", "README.md"),
        ("file", "empty.py"),
        ("module", "empty"),
    }


def test_a_name_in_full_is_the_only_definition_that_has_it_when_folders_share_a_package() -> None:
    resolved = resolve_sources(
        ("one/src/main/java/com/a/T.java", b"package com.a; class T {}"),
        ("two/src/main/java/com/a/A.java", b"package com.a; public class A { public static void s(){} }"),
        ("one/src/main/java/q/B.java", b"package q; import com.a.A; class B { void f(){ A.s(); com.a.A.s(); } }"),
    )
    assert edges_of(resolved, "calls") == {("q.B.f", "com.a.A.s", "INFERRED")}
    assert "com.a.A.s" not in {node.label for node in resolved.nodes if node.type == "external"}


def test_a_name_in_full_that_two_files_of_cpp_define_is_neither() -> None:
    files = [(f"{name}.cpp", b"namespace net { void go() {} }\n") for name in "ab"]
    for ordered in (files, files[::-1]):
        resolved = resolve_sources(*ordered, ("main.cpp", b"int main() { net::go(); }\n"))
        assert edges_of(resolved, "calls") == {("main", "net.go", "UNRESOLVED")}
