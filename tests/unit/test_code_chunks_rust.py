"""Rust is cut into chunks along its definitions: a golden test of boundaries, names and nesting."""

from store.code.source import CutMethod
from tests.code_files import assert_whole, chunks_of, source, symbol, symbols_of

FILE = assert_whole("queue.rs", source("queue.rs"))


def test_the_file_is_cut_along_its_syntax() -> None:
    assert (FILE.language, FILE.method, FILE.note) == ("rust", CutMethod.SYNTAX, "")


def test_chunks_are_definitions_parts_of_large_ones_and_small_neighbours_together() -> None:
    assert chunks_of(FILE) == [
        "1-25 CLASS Error: Error fmt",
        "27-49 CLASS Sink: Sink put put_all Queue",
        "51-108 CLASS Queue: new len next matches close count counts forget",
        "110-124 CLASS Queue: Error put",
        "126-142 FUNCTION queue: queue tests an_empty_queue_has_no_jobs",
    ]


def test_definitions_have_names_nesting_and_parameters() -> None:
    assert symbols_of(FILE) == [
        "10-16 CLASS - Error()",
        "19-24 METHOD Error fmt(self, f)",
        "27-42 CLASS - Sink()",
        "31-32 METHOD Sink put(self, item)",
        "34-41 METHOD Sink put_all(self, items)",
        "44-49 CLASS - Queue()",
        "52-59 METHOD Queue new()",
        "61-64 METHOD Queue len(self)",
        "66-82 METHOD Queue next(self, name)",
        "71-71 FUNCTION Queue.next matches(job)",
        "84-87 METHOD Queue close(self)",
        "89-91 METHOD Queue count(self, job)",
        "93-99 METHOD Queue counts(self)",
        "101-107 METHOD Queue forget(self, name)",
        "114-114 CLASS Queue Error()",
        "116-123 METHOD Queue put(self, item)",
        "126-132 FUNCTION - queue()",
        "134-142 CLASS - tests()",
        "138-141 FUNCTION tests an_empty_queue_has_no_jobs()",
    ]


def test_what_a_definition_says_about_itself() -> None:
    new = symbol(FILE, "Queue.new")
    assert new.signature == "pub fn new() -> Self"
    assert new.docstring == "An empty one.\n\n# Examples\n`Queue::new()`"
    assert new.decorators == ("must_use",)
    error = symbol(FILE, "Error")
    assert error.decorators == ("derive(Debug, Clone, PartialEq)", "non_exhaustive")
    assert error.docstring == "What went wrong."
    assert symbol(FILE, "queue").signature == "macro_rules! queue"


def test_an_implementation_is_no_definition_but_gives_its_name_to_its_functions() -> None:
    assert [each.span.start_line for each in FILE.outline.symbols if each.qualified_name == "Queue"] == [44]
    assert symbol(FILE, "Queue.put").parent == "Queue"
