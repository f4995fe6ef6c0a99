"""Cutting any file: nothing is lost, nothing comes twice, no chunk is too large, whatever is in it."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.code.cutting import NOT_UTF8, cut
from store.code.languages import LANGUAGES
from store.code.source import CodeKind, CutMethod
from store.code.splitting import MAX_BYTES
from tests.code_files import LIMIT, assert_whole, chunks_of, source, sources

SUFFIXES = sorted({language.suffixes[0] for language in LANGUAGES})

#: Of the languages, and what takes their parsers by surprise.
WORDS = [
    *("class", "def", "fn", "func", "function", "impl", "struct", "const", "template", "namespace", "async", "lambda"),
    *("interface", "export", "X", "y", "(", ")", "{", "}", "[", "]", "<", ">", "::", ".", ",", ";", ":", "=", "=>"),
    *("@a", "#[b]", "//", "/*", "*/", "'", "`", "#", '"""', "\n", "\n    ", "\r\n", "\t", "é", "\u2028", "\ufeff"),
]

FUNCTION = 'def {name}(number):\n    """{doc}"""\n    return number + 1\n'


def _mutated(content: bytes, seed: int) -> bytes:
    """The file with pieces of it taken out, doubled, swapped, or overwritten."""
    chosen = random.Random(seed)
    for _ in range(chosen.randint(1, 6)):
        start = chosen.randrange(len(content) + 1)
        end = min(start + chosen.choice((1, 5, 50, 500)), len(content))
        piece = content[start:end]
        put = chosen.choice(
            (
                b"",
                piece * 2,
                piece[::-1],
                bytes(chosen.randrange(256) for _ in range(9)),
                b"{",
                b'"',
                b"(" * 40,
                b"\r\n",
            )
        )
        content = content[:start] + put + content[end:]
    return content


@pytest.mark.parametrize("name", sources())
def test_mutilated_files_stay_whole(name: str) -> None:
    for seed in range(40):
        assert_whole(name, _mutated(source(name), seed))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=st.binary(max_size=4_000), suffix=st.sampled_from([*SUFFIXES, ".h", ".md", ""]))
def test_any_bytes_stay_whole(content: bytes, suffix: str) -> None:
    assert_whole(f"file{suffix}", content)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    words=st.lists(
        st.sampled_from(WORDS),
        max_size=300,
    ),
    suffix=st.sampled_from(SUFFIXES),
)
def test_words_of_languages_in_any_order_stay_whole(words: list[str], suffix: str) -> None:
    assert_whole(f"file{suffix}", " ".join(words).encode())


@pytest.mark.parametrize("name", sources())
def test_windows_line_ends_change_no_names_and_stay_in_the_content(name: str) -> None:
    content = source(name).replace(b"\n", b"\r\n")
    file = assert_whole(name, content)
    assert chunks_of(file) == chunks_of(cut(name, source(name)))
    assert all("\r\n" in chunk.content for chunk in file.chunks if chunk.span.start_line < chunk.span.end_line)
    docstrings = [symbol.docstring for symbol in file.outline.symbols]
    assert docstrings == [symbol.docstring for symbol in cut(name, source(name)).outline.symbols]


@pytest.mark.parametrize("name", sources())
def test_tabs_change_no_names(name: str) -> None:
    content = source(name).replace(b"    ", b"\t")
    assert chunks_of(assert_whole(name, content)) == chunks_of(cut(name, source(name)))


@pytest.mark.parametrize("name", sources())
def test_a_byte_order_mark_belongs_to_the_first_chunk_and_not_to_its_content(name: str) -> None:
    file = assert_whole(name, b"\xef\xbb\xbf" + source(name))
    assert file.chunks[0].span.start_byte == 0
    assert not file.chunks[0].content.startswith("\ufeff")
    assert chunks_of(file) == chunks_of(cut(name, source(name)))


def test_a_file_of_nothing_has_no_chunks() -> None:
    for content in (b"", b"\n\n", b"\xef\xbb\xbf", b" \t\r\n\f"):
        file = assert_whole("empty.py", content)
        assert (file.chunks, file.note) == ((), "")


def test_bytes_that_are_no_utf_8_are_replaced_and_said() -> None:
    latin = FUNCTION.format(name="gr\u00fc\u00dfe", doc="\u00e4" * 50).encode("latin-1")
    file = assert_whole("latin.py", latin)
    assert NOT_UTF8 in file.note
    assert "\ufffd" in file.chunks[0].content
    assert NOT_UTF8 in assert_whole("notes.txt", latin).note


def test_syntax_errors_are_said_and_what_is_around_them_is_found() -> None:
    content = (FUNCTION.format(name="first", doc="a" * 300) + "\ndef broken(:\n    return (\n\n\n").encode()
    content += FUNCTION.format(name="last", doc="b" * 300).encode()
    file = assert_whole("broken.py", content)
    assert file.method is CutMethod.SYNTAX_WITH_ERRORS
    assert file.note.startswith("syntax errors, the first in line ")
    assert {"first", "last"} <= {symbol.name for symbol in file.outline.symbols}


def test_what_is_no_source_is_cut_by_lines_and_says_so() -> None:
    poem = "\n".join(f"{number} bottles of beer; on, the wall? (take one down" for number in range(200)).encode()
    file = assert_whole("poem.java", poem)
    assert (file.language, file.method) == ("java", CutMethod.LINES)
    assert file.note == "does not parse as java: cut by lines"
    assert {chunk.kind for chunk in file.chunks} == {CodeKind.LINES}


def test_a_file_that_takes_too_long_to_parse_is_cut_by_lines_and_says_so() -> None:
    file = cut("uploads.py", source("uploads.py") * 40, parse_seconds=0.0)
    assert file.method is CutMethod.LINES
    assert file.note == "takes too long to parse as python: cut by lines"
    assert file.chunks


@pytest.mark.parametrize(
    ("path", "content", "language"),
    [
        ("README.md", b"# Title", "markdown"),
        ("deploy/values.YAML", b"a: 1", "yaml"),
        ("Makefile", b"all:", "make"),
        ("LICENSE", b"Copyright", "text"),
        ("bin/tool", b"#!/usr/bin/env python3\nprint(1)\n", "python"),
        ("bin/tool", b"#!/bin/sh\nls\n", "text"),
        ("a.mjs", b"", "javascript"),
        ("a.cts", b"", "typescript"),
        ("a.pyi", b"", "python"),
        ("list.h", b'struct list { int n; };\n#ifdef __cplusplus\nextern "C" {\n#endif\n', "c"),
        ("list.h", b"#pragma once\nnamespace a {\nclass B;\n}\n", "cpp"),
        (".bashrc", b"ls", "text"),
        ("a.b/c", b"x", "text"),
    ],
)
def test_languages_are_told_by_name_interpreter_and_for_headers_by_content(
    path: str, content: bytes, language: str
) -> None:
    assert cut(path, content).language == language


def test_other_files_are_cut_between_paragraphs() -> None:
    paragraph = ("word " * 100).strip()
    text = "\n\n".join(f"# {number}\n{paragraph}" for number in range(20)).encode()
    file = assert_whole("notes.md", text)
    assert file.method is CutMethod.LINES
    assert len(file.chunks) == 7
    assert all(chunk.content.startswith("#") for chunk in file.chunks)


def test_one_enormous_line_is_cut_too() -> None:
    for path in ("min.js", "min.txt", "min.py", "min.rs"):
        file = assert_whole(path, b"let a={" + b"x:[1,2,3,4,5,6],\xc3\xa9" * 5_000 + b"}")
        assert len(file.chunks) >= 50
        assert all(chunk.span.start_line == chunk.span.end_line == 1 for chunk in file.chunks)
        assert not any("\ufffd" in chunk.content for chunk in file.chunks)
    word = assert_whole("word.txt", b"a" * 10_000)
    assert [len(chunk.content) for chunk in word.chunks] == [LIMIT] * 6 + [400]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_deep_nesting_does_not_overflow_anything(suffix: str) -> None:
    for opening in ("[", "{", "class A { ", "f(function(){", "a.b(", "if x:\n ", "-", "<", "&'a "):
        assert_whole(f"deep{suffix}", (opening * 1_000).encode())
    assert_whole(f"deep{suffix}", b"(" * 20_000)
    assert_whole(f"deep{suffix}", b"x = " + b"(" * 20_000 + b"1" + b")" * 20_000)


def test_deep_nesting_of_definitions_is_bounded() -> None:
    lines = [f"{' ' * depth}class A{depth}:" for depth in range(300)]
    file = assert_whole("deep.py", "\n".join([*lines, " " * 300 + "pass"]).encode())
    assert max(symbol.qualified_name.count(".") for symbol in file.outline.symbols) < 20


def test_generated_code_of_five_megabytes_is_cut() -> None:
    functions = "".join(FUNCTION.format(name=f"made_{number}", doc="c" * 150) for number in range(12_000))
    table = "TABLE = [\n" + "    (1, 'two', 3.0),\n" * 122_000 + "]\n"
    content = (functions + table).encode()
    assert len(content) > 5_000_000
    file = cut("made.py", content, parse_seconds=60)
    assert len(file.outline.symbols) == 12_000
    assert "".join("".join(chunk.content.split()) for chunk in file.chunks) == "".join(content.decode().split())


def test_names_of_any_length_are_no_trouble() -> None:
    name = "n" * 5_000
    file = assert_whole("long.py", f"def {name}({name}):\n    pass\n\n\ndef f({name}): pass\n".encode())
    assert [symbol.name for symbol in file.outline.symbols] == ["f"]
    assert all(len(symbol.signature) <= 1_000 for symbol in file.outline.symbols)


def test_parts_of_a_large_function_keep_its_name_and_signature() -> None:
    body = "".join(f"    value_{number} = compute({number}, 'of something')\n" for number in range(120))
    file = assert_whole("large.py", f'class Big:\n  def run(self):\n    """Runs."""\n{body}'.encode())
    parts = [chunk for chunk in file.chunks if chunk.name == "run"]
    assert len(parts) == 3
    assert {(part.kind, part.qualified_name, part.parent) for part in parts} == {(CodeKind.METHOD, "Big.run", "Big")}
    assert {part.signature for part in parts} == {"def run(self)"}
    assert [part.docstring for part in parts] == ["Runs.", "", ""]
    sizes = [len("".join(part.content.split())) for part in parts]
    assert max(sizes) < 1.2 * min(sizes)


def test_small_neighbours_are_together_and_large_ones_alone() -> None:
    small = [FUNCTION.format(name=f"small_{number}", doc="a") for number in range(5)]
    large = FUNCTION.format(name="large", doc="b" * 900)
    file = assert_whole("mixed.py", "\n\n".join([*small, large]).encode())
    assert [chunk.name for chunk in file.chunks] == ["small_0", "large"]
    assert file.chunks[0].symbols == tuple(f"small_{number}" for number in range(5))


def test_what_is_behind_a_definition_on_its_line_belongs_to_it() -> None:
    content = b"class A { int x; };  // the first\nclass B { int y; };  /* the last */\n"
    symbols = assert_whole("two.cpp", content).outline.symbols
    assert [content[each.span.start_byte : each.span.end_byte].split(b"  ")[-1] for each in symbols] == [
        b"// the first",
        b"/* the last */",
    ]


def test_a_class_with_a_macro_before_its_name_is_a_class() -> None:
    symbols = assert_whole("api.hpp", b"class EXPORT_API Api {\n  void run() { go(); }\n};\n").outline.symbols
    assert [(each.kind, each.qualified_name) for each in symbols] == [
        (CodeKind.CLASS, "Api"),
        (CodeKind.METHOD, "Api.run"),
    ]


def test_no_chunk_is_a_brace_or_the_first_line_of_a_namespace() -> None:
    methods = "\n".join(f"    int f{number}() {{ return {number}; /* {'x' * 300} */ }}" for number in range(9))
    content = f"namespace a {{\nnamespace b {{\n\nclass C {{\n{methods}\n}};\n\n}}\n}}\n".encode()
    file = assert_whole("nested.cpp", content)
    assert min(len("".join(chunk.content.split())) for chunk in file.chunks) >= 200
    assert file.chunks[0].qualified_name == "a.b.C"


def test_a_large_function_is_cut_where_no_little_rest_stays() -> None:
    loop = "".join(f"        total += values[{number}] * weights[{number}]\n" for number in range(60))
    content = f"def run(values, weights):\n    total = 0\n    for _ in range(9):\n{loop}    return total\n".encode()
    sizes = [len("".join(chunk.content.split())) for chunk in assert_whole("run.py", content).chunks]
    assert len(sizes) == 2
    assert min(sizes) >= 200


@pytest.mark.parametrize("name", sources())
def test_the_same_file_is_cut_the_same_again(name: str) -> None:
    assert cut(name, source(name)) == cut(name, source(name))


def test_complexity_is_none_of_what_this_python_cannot_parse() -> None:
    file = cut("future.py", b"def old(x):\n    if x:\n        print x\n")
    assert [symbol.complexity for symbol in file.outline.symbols] == [0]


def _blank_files() -> list[bytes]:
    blank = 100 * 1024
    return [
        b"def f():\n    x = 1\n" + b"\n" * blank + b"    return x\n",
        b"x = (1," + b" " * blank + b"2)\n",
        b"x = 1\n" + b"\t" * blank + b"# far\n",
        b"x = '" + b" \n\r" * (blank // 3) + "é".encode() + b"'\n",
    ]


@pytest.mark.parametrize("content", _blank_files())
@pytest.mark.parametrize("path", ["a.py", "a.txt"])
def test_white_space_makes_no_chunk_large(path: str, content: bytes) -> None:
    file = assert_whole(path, content)

    assert len(file.chunks) > 1
    assert max(chunk.span.end_byte - chunk.span.start_byte for chunk in file.chunks) <= MAX_BYTES


def test_a_chunk_names_a_bounded_part_of_the_imports() -> None:
    same = "".join(f"import pkg.m{number}\n" for number in range(300))
    others = "".join(f"import n{number}\n" for number in range(200))
    used = ", ".join(f"n{number}" for number in range(200))
    long = "x" * 190
    content = f"from yet.another import {long} as z\n{same}{others}\ndef f():\n    return pkg, z, {used}\n"

    for chunk in cut("a.py", content.encode()).chunks:
        assert len(chunk.imports) <= 50
        assert max(map(len, chunk.imports), default=0) <= 200
    last = cut("a.py", content.encode()).chunks[-1]
    assert last.imports[:2] == (f"yet.another.{long}"[:200], "pkg.m0")
    assert len(last.imports) == 50
