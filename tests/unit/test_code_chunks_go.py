"""Go is cut into chunks along its definitions: a golden test of boundaries, names and nesting."""

from store.code.source import CutMethod
from tests.code_files import assert_whole, chunks_of, source, symbol, symbols_of

FILE = assert_whole("server.go", source("server.go"))


def test_the_file_is_cut_along_its_syntax() -> None:
    assert (FILE.language, FILE.method, FILE.note) == ("go", CutMethod.SYNTAX, "")


def test_chunks_are_definitions_parts_of_large_ones_and_small_neighbours_together() -> None:
    assert chunks_of(FILE) == [
        "1-22 MODULE -",
        "23-58 CLASS Handler: Handler Handle HandlerFunc Server Cache ID New",
        "60-77 METHOD Server.Handle: Handle",
        "79-110 METHOD Server.String: String Get Handle fallback init walk Map",
    ]


def test_definitions_have_names_nesting_and_parameters() -> None:
    assert symbols_of(FILE) == [
        "23-27 CLASS - Handler()",
        "26-26 METHOD Handler Handle(ctx, path)",
        "29-30 CLASS - HandlerFunc()",
        "33-42 CLASS - Server()",
        "44-45 CLASS - Cache()",
        "47-47 CLASS - ID()",
        "49-58 FUNCTION - New(names)",
        "60-77 METHOD Server Handle(ctx, path)",
        "79-79 METHOD Server String()",
        "81-85 METHOD Cache Get(key)",
        "87-90 METHOD HandlerFunc Handle(ctx, path)",
        "92-94 FUNCTION - fallback(a, b, rest)",
        "96-101 FUNCTION - init()",
        "97-99 FUNCTION init walk(path)",
        "103-110 FUNCTION - Map(items, apply)",
    ]


def test_what_a_definition_says_about_itself() -> None:
    handle = symbol(FILE, "Server.Handle")
    assert handle.signature == ("func (s *Server) Handle(ctx context.Context, path string) (body []byte, err error)")
    assert handle.docstring == "Handle finds the handler with the longest prefix."
    server = symbol(FILE, "Server")
    assert (
        server.docstring
        == "Server knows handlers by the prefixes of their paths.\n\nThe zero value is ready to be used."
    )
    assert server.signature == "type Server struct"
    assert server.bases == ("sync.Mutex", "Cache[string]")
    assert symbol(FILE, "New").docstring == "New makes a server."
