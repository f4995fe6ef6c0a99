"""Snippets: the lines that show why a chunk was found."""

from store.code.identifiers import terms_asked
from store.code.snippets import snippet_of
from store.code.source import Chunk, CodeKind, Span


def chunk(content: str, line: int = 1) -> Chunk:
    return Chunk(CodeKind.FUNCTION, Span(0, len(content), line, line + content.count("\n")), content)


def test_a_small_chunk_is_shown_as_a_whole_with_the_lines_that_have_words_of_the_query() -> None:
    found = snippet_of(chunk("def a():\n    retryUpload()\n    return 1\n", 10), terms_asked("retry failed uploads"))
    assert found.start_line == 10
    assert found.lines == ("def a():", "    retryUpload()", "    return 1")
    assert found.matching_lines == (11,)


def test_of_a_long_chunk_the_lines_with_the_rarest_words_are_shown() -> None:
    lines = [f"    page = {number}" for number in range(40)]
    lines[30] = "    upload(page)"
    found = snippet_of(chunk("\n".join(lines)), terms_asked("upload a page"))
    assert len(found.lines) == 12
    assert 31 in found.matching_lines
    assert set(found.matching_lines) == set(range(found.start_line, found.start_line + 12))


def test_without_a_word_of_the_query_the_beginning_is_shown() -> None:
    found = snippet_of(chunk("\n".join("x" for _ in range(40)), 5), terms_asked("upload"))
    assert (found.start_line, len(found.lines), found.matching_lines) == (5, 12, ())
    assert snippet_of(chunk("x"), ()).lines == ("x",)


def test_ends_of_lines_and_what_is_too_long_are_left_out() -> None:
    found = snippet_of(chunk("a\r\n" + "b" * 5000 + "\r\n"), ())
    assert found.lines == ("a", "b" * 400)


def test_of_a_chunk_with_very_many_lines_only_the_first_ones_are_looked_at() -> None:
    far = snippet_of(chunk("x\n" + "\n" * 100_000 + "upload\n"), terms_asked("upload"))
    wide = snippet_of(chunk("x" + " " * 100_000 + "\nupload"), terms_asked("upload"))
    near = snippet_of(chunk("x\n" + "\n" * 1_900 + "upload\n" + "\n" * 100_000), terms_asked("upload"))
    assert (far.start_line, far.matching_lines) == (1, ())
    assert (wide.lines, wide.matching_lines) == (("x" + " " * 399,), ())
    assert near.matching_lines == (1902,)
