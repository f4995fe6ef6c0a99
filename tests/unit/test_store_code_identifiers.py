"""The words and the names that code is found by."""

import pytest

from store.code.identifiers import identifier_words, is_code, names_asked, names_of, terms_asked, words_of_chunk
from store.code.source import Chunk, CodeKind, Span
from store.terms import term_of


def chunk(content: str = "", *symbols: str, kind: CodeKind = CodeKind.FUNCTION, line: int = 7, **more: str) -> Chunk:
    return Chunk(kind, Span(0, len(content), line, line), content, symbols=symbols, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("identifier", "words"),
    [
        ("parseHTTPHeader", "parse http header"),
        ("HTTPServer", "http server"),
        ("ParseHeader", "parse header"),
        ("parse_http_header", "parse http header"),
        ("MAX_PATH_BYTES", "max path bytes"),
        ("__init__", "init"),
        ("utf8", "utf8"),
        ("base64", "base64"),
        ("sha256_hex", "sha256 hex"),
        ("b64encode", "b64 encode"),
        ("HTTP2Server", "http2 server"),
        ("IPv4Address", "ipv4 address"),
        ("getURLs", "get urls"),
        ("x", "x"),
        ("$scope", "scope"),
        ("größeÄndern", "grösse ändern"),
        ("ΑλφαΒήτα", "αλφα βήτα"),
        ("JSONDecoder.raw_decode", "json decoder raw decode"),
        ("", ""),
        ("(+*)", ""),
    ],
)
def test_words_of_an_identifier(identifier: str, words: str) -> None:
    assert " ".join(identifier_words(identifier)) == words


@pytest.mark.parametrize(
    "query",
    [
        "parseHTTPHeader",
        "parse http header",
        "parse_http_header",
        "ParseHttpHeader",
        "parsehttpheader",
        "HTTPServer.parseHTTPHeader",
        "HTTPServer::parseHTTPHeader",
        "http server parse http header",
        "server.HTTPServer.parseHTTPHeader",
        "net.HTTPServer.parseHTTPHeader",
        "net/server.HTTPServer.parseHTTPHeader()",
        "def parseHTTPHeader(self, line):",
        "def parseHTTPHeader(self, line):\n    return line",
        "function parseHTTPHeader",
    ],
)
def test_a_definition_is_called_in_many_ways(query: str) -> None:
    names = names_of("src/net/server.py", chunk("", "HTTPServer.parseHTTPHeader"))
    assert set(names) & names_asked(query).keys()


def test_a_name_that_is_written_just_so_is_more_of_the_query_than_another_spelling_and_both_more_than_a_part() -> None:
    asked = names_asked("Decoder.decode")
    assert asked == {"=Decoder.decode": 1, "decoderdecode": 0.9, "=decode": 0.5, "decode": 0.45}


def test_words_that_languages_reserve_may_be_a_part_of_a_name() -> None:
    for query, name in (("is instance mock", "_is_instance_mock"), ("raise error", "raiseError")):
        assert set(names_of("a.py", chunk("", name))) & names_asked(query).keys()


def test_a_file_is_called_by_its_first_chunk() -> None:
    def names(path: str, line: int = 1, kind: CodeKind = CodeKind.MODULE) -> set[str]:
        return set(names_of(path, chunk("import os", kind=kind, line=line)))

    assert "jsondecoder" in names("json/decoder.py")
    assert "json" in names("lib/json/__init__.py")
    assert not names("json/decoder.py", line=9)
    assert not names("json/decoder.py", kind=CodeKind.FUNCTION)


@pytest.mark.parametrize("query", ["", "   ", "((((", "...", "::", "x = 1\ny = 2", "a " * 500, "\n\n", "\ud7ff" * 300])
def test_what_is_no_name_is_asked_for_as_none(query: str) -> None:
    assert not any(name.startswith("=") for name in names_asked(query))


def test_names_fit_into_an_index_however_long_they_are() -> None:
    names = names_of("a/" * 500 + "b.py", chunk("", "x" * 5000, ".".join("abc" * 100)))
    assert all(len(name.encode()) < 1000 for name in names)
    assert len(names) < 20


def test_a_chunk_has_the_words_of_its_identifiers_and_each_identifier_as_a_whole() -> None:
    words = words_of_chunk("net/server.py", chunk("x = parseHTTPHeader(utf8)"))
    for word in ("parse", "http", "header", "parsehttpheader", "utf8", "utf", "net", "server"):
        assert term_of(word) in words.terms
    assert list(words.terms) == sorted(set(words.terms))


def test_names_count_more_than_code_and_keywords_nothing() -> None:
    words = words_of_chunk("a.py", chunk("def fetch(page):\n    return page", "fetch"))
    counts = dict(zip(words.terms, words.counts, strict=True))
    assert counts[term_of("fetch")] > counts[term_of("page")] == 2
    assert term_of("def") not in counts
    assert term_of("return") not in counts


def test_comments_and_docstrings_are_words_too_whatever_their_script() -> None:
    words = words_of_chunk("a.py", chunk("# Ещё: 解析头\nx", docstring="Retries uploads."))
    assert set(terms_asked("uploading 解析头 ЕЩЁ")) <= set(words.terms)


def test_a_question_is_its_telling_words() -> None:
    assert terms_asked("where do we retry the failed uploads?") == terms_asked("retry failed upload")
    assert terms_asked("import") == (term_of("import"),)
    assert terms_asked("😀 (!)") == ()


@pytest.mark.parametrize("part", ["A", "aB", "_", "A1", "é", "a.", "(", "\n", "a::", "Aa_", "1"])
def test_a_query_of_any_kind_is_read_without_going_back_and_forth(part: str) -> None:
    query = part * (16384 // len(part))
    assert len(terms_asked(query)) <= 64
    assert all(len(name) <= 161 for name in names_asked(query))


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("for attempt in range(ATTEMPTS):\n    time.sleep(attempt)", True),
        ("return self.archive.put(name)", True),
        ("values[0] = 1", True),
        ("where do we retry failed uploads?", False),
        ("Return the path of a file (or None).", False),
        ("JSONDecoder.decode", False),
        ("parse_http_header", False),
        ("how does json.loads call the decoder (JSONDecoder) when the text is empty or broken at its end?", False),
        ("", False),
    ],
)
def test_a_piece_of_code_is_told_from_a_question(query: str, code: bool) -> None:
    assert is_code(query) is code
