"""Python is cut into chunks along its definitions: a golden test of boundaries, names and nesting."""

from store.code.source import CutMethod
from tests.code_files import assert_whole, chunks_of, source, symbol, symbols_of

FILE = assert_whole("uploads.py", source("uploads.py"))


def test_the_file_is_cut_along_its_syntax() -> None:
    assert (FILE.language, FILE.method, FILE.note) == ("python", CutMethod.SYNTAX, "")


def test_chunks_are_definitions_parts_of_large_ones_and_small_neighbours_together() -> None:
    assert chunks_of(FILE) == [
        "1-21 MODULE -",
        "23-41 FUNCTION dump: dump dump double delays",
        "44-62 FUNCTION retried: retried decorate call",
        "65-78 CLASS Sink: Sink write Part is_last",
        "81-92 CLASS Uploader: Uploader Refused",
        "94-106 METHOD Uploader.__init__: __init__ send send",
        "108-121 METHOD Uploader.send: send",
        "123-130 METHOD Uploader.send_later: send_later _parts",
        "132-138 METHOD Uploader._begin: _begin",
        "140-145 METHOD Uploader._send_part: _send_part",
        "147-152 METHOD Uploader._finish: _finish _take_back",
        "155-156 MODULE -",
    ]


def test_definitions_have_names_nesting_and_parameters() -> None:
    assert symbols_of(FILE) == [
        "23-24 FUNCTION - dump(value)",
        "28-29 FUNCTION - dump(value)",
        "32-32 FUNCTION - double(number, rest)",
        "35-41 FUNCTION - delays(first, limit)",
        "44-62 FUNCTION - retried(times)",
        "50-60 FUNCTION retried decorate(function)",
        "51-58 FUNCTION retried.decorate call(args, kwargs)",
        "65-66 CLASS - Sink()",
        "66-66 METHOD Sink write(self, data)",
        "69-78 CLASS - Part()",
        "76-78 METHOD Part is_last(self)",
        "81-152 CLASS - Uploader()",
        "91-92 CLASS Uploader Refused()",
        "94-100 METHOD Uploader __init__(self, bucket, client, verify)",
        "102-103 METHOD Uploader send(self, source)",
        "105-106 METHOD Uploader send(self, source)",
        "108-121 METHOD Uploader send(self, source)",
        "123-126 METHOD Uploader send_later(self, source)",
        "128-130 METHOD Uploader _parts(self, source)",
        "132-138 METHOD Uploader _begin(self, size)",
        "140-145 METHOD Uploader _send_part(self, key, part)",
        "147-148 METHOD Uploader _finish(self, key)",
        "150-152 METHOD Uploader _take_back(self, key)",
    ]


def test_what_a_definition_says_about_itself() -> None:
    send = symbol(FILE, "Uploader.send", number=2)
    assert send.signature == "def send(self, source: str | bytes) -> Answer"
    assert send.docstring == "Sends a file, or what would be in it."
    assert send.decorators == ('retried(times=RETRIES["normal"])',)
    assert symbol(FILE, "Uploader").bases == ("Client",)
    assert symbol(FILE, "Uploader").docstring.startswith("Sends files in parts.\n\nAn upload that was begun")
    assert symbol(FILE, "delays").docstring == (
        "Waits longer each time; never longer than a minute,\nwhatever the server says."
    )
    assert symbol(FILE, "Uploader.send_later").signature.startswith("async def")


def test_complexity_is_that_of_radon() -> None:
    complexity = {each.qualified_name: each.complexity for each in FILE.outline.symbols}
    assert complexity["delays"] == 2
    assert complexity["retried.decorate.call"] == 3
    assert complexity["Uploader.send"] == 4


def test_chunks_say_what_they_use_of_the_imports() -> None:
    uses = {chunk.qualified_name: chunk.imports for chunk in FILE.chunks}
    assert {"functools", "logging", ".clients.Response"} <= set(uses["retried"])
    assert "os.path" in uses["Uploader.send"]
    assert uses["Uploader._begin"] == ()


def test_the_first_chunk_has_the_docstring_of_the_file() -> None:
    assert FILE.chunks[0].docstring == "Uploads of files to a bucket, with retries."
