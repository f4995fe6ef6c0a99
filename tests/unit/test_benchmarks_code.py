"""What benchmarks/code.py asks, and what it makes of the answers."""

import ast

from benchmarks.code import Rows, claims, drawn
from benchmarks.support import library
from benchmarks.support.code_party import places, rank_of
from trimem.store.v1 import code_service_pb2 as pb

SOURCE = b'''"""A module."""

class Decoder:
    """Decodes."""

    def decode(self, text):
        """Return what a text stands for. It is
        not empty.
        """
        return text

    def only_said(self):
        """Says what it would do and does not."""


def parseHTTPHeader(line): "On one line."; return line
'''


def test_a_file_without_docstrings_is_the_same_code() -> None:
    stripped = library.without_docstrings(SOURCE)
    assert b'"""' not in stripped
    assert b"On one line" not in stripped
    names = [node.name for node in ast.walk(ast.parse(stripped)) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert sorted(names) == ["Decoder", "decode", "only_said", "parseHTTPHeader"]
    assert library.without_docstrings(b"def broken(:") == b"def broken(:"


def test_questions_are_first_sentences_of_functions_that_do_something() -> None:
    [question] = library.docstring_questions({"a.py": SOURCE})
    assert question.text == "Return what a text stands for."
    assert question.answers == {("a.py", "Decoder.decode")}


def test_names_that_two_definitions_have_in_whatever_case_are_not_asked_for() -> None:
    other = b"def PARSE_http_header(): pass\ndef other(): pass\n"
    asked = library.name_questions({"a.py": SOURCE, "b.py": other}, 10)
    assert {one.text for one in asked} == {"Decoder", "decode", "only_said", "other"}
    assert library.name_questions({"a.py": SOURCE}, 1) == library.name_questions({"a.py": SOURCE}, 9)[:1]


def test_a_piece_is_some_lines_of_one_function() -> None:
    body = "\n".join(f"    value{number} = compute({number}, other)" for number in range(12))
    source = f"def one():\n{body}\n\n\ndef small():\n    return 1\n"
    [piece] = library.piece_questions({"a.py": source.encode()}, 5)
    assert piece.answers == {("a.py", "one")}
    assert piece.text in body
    assert len(piece.text.split("\n")) == 4
    assert library.piece_questions({"a.py": source.encode(), "b.py": source.encode()}, 5) == []


def test_names_are_said_in_words() -> None:
    assert [library.in_words(name) for name in ("parseHTTPHeader", "__init_db__", "UTF8")] == [
        "parse http header",
        "init db",
        "utf8",
    ]


def test_names_of_tests_are_not_asked_for_and_make_others_ambiguous() -> None:
    contents = {
        "a.py": b"def run_it(): pass\ndef only_here(): pass\n",
        "x/test/b.py": b"def run_it(): pass\ndef odd(): pass",
    }
    assert [one.text for one in library.name_questions(contents, 10)] == ["only_here"]
    assert library.share_of_own_names(contents) == 0.5


def test_one_file_in_a_hundred_is_edited_and_parses() -> None:
    can, cannot = b"import os\n\ndef run(a):\n    return a\n", b"import os\n\ndef run(a=()): return a\n"
    contents = {f"{number:03}.py": can if number % 4 == 0 else cannot for number in range(300)}
    edited = library.edited(contents, 0.01)
    changed = [path for path in contents if contents[path] != edited[path]]
    assert changed == ["000.py", "100.py", "200.py"]
    assert all(ast.parse(edited[path]) for path in changed)
    assert library.edited({"a.py": cannot}, 1.0) == {"a.py": cannot}


def test_some_of_all_are_from_the_beginning_to_the_end() -> None:
    assert library.evenly(range(100), 4) == [0, 25, 50, 75]
    assert library.evenly(range(7), 5) == [0, 1, 2, 4, 5]
    assert library.evenly("ab", 5) == ["a", "b"]
    assert library.evenly("", 5) == []


def test_the_library_is_whole_and_a_part_of_it_spread() -> None:
    whole, part = library.files(), library.files(50)
    assert len(whole) > 500
    assert len(part) == 50
    assert part.keys() <= whole.keys()
    assert len(library.files(tests=False)) < len(whole)


def test_a_hit_answers_with_each_definition_in_it() -> None:
    chunk = pb.CodeChunk(path="a.py", qualified_name="A.b", symbols=["A.b", "A.c"])
    assert places(chunk) == {("a.py", "A.b"), ("a.py", "A.c")}
    hits = [places(chunk), {("a.py", "x")}]
    assert rank_of(frozenset({("a.py", "x")}), hits) == 2
    assert rank_of(frozenset({("b.py", "x")}), hits) == 0


def test_starts_of_walks_are_drawn_from_all_over() -> None:
    ids = [f"{number:03}" for number in range(300)]
    assert drawn(ids, 40) == drawn(ids[::-1], 40)
    assert any(one > "250" for one in drawn(ids, 40))
    assert any(one < "050" for one in drawn(ids, 40))


def test_promises_are_kept_or_not() -> None:
    rows: Rows = [
        {"mode": mode, "mrr": mrr} for mode, mrr in (("CODE", 0.3), ("TEXT", 0.4), ("NAMES", 0.5), ("FUSED", 0.4))
    ]
    found: dict[str, Rows] = {
        "index": [
            {"seconds": 100.0, "embedded": 90, "chunks": 90, "edited": 0},
            {"seconds": 4.0, "embedded": 0, "chunks": 0, "edited": 0},
            {"seconds": 5.0, "embedded": 19, "chunks": 155, "edited": 9},
        ],
        "names": [{"query": "exact", "first": 0.96}],
        "graph": [{"starts": "hubs", "direction": "OUT", "max_nodes": 1000, "max_ms": 2000.0}],
        "docstrings": rows,
    }
    assert [(claim.value, claim.kept) for claim in claims(found)] == [
        (0, True),
        (0.04, True),
        (19, False),
        (2000.0, False),
        (0.96, True),
        (0.8, False),
    ]
