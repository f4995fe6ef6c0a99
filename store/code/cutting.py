"""A source file in pieces: its chunks, and its outline."""

from store.code.chunking import Chunking
from store.code.complexity import complexities
from store.code.definitions import Definitions, definitions_of
from store.code.describing import Describing, decoded
from store.code.languages import PYTHON, Language, language_of, plain_language_of
from store.code.parsing import PARSE_SECONDS, Syntax, parse
from store.code.positions import Positions
from store.code.references import references_of
from store.code.source import Chunk, CodeKind, CutFile, CutMethod, Outline
from store.code.splitting import Splitter
from store.code.symbols import Symbols, span_of

#: Of the rules in here: files that were cut by others are cut again. Add one when chunks or outlines
#: change, and when these are resolved to another graph: files that are cut again make it new, nothing else does.
CUT_VERSION = 2

NOT_UTF8 = "not UTF-8: some bytes are replaced"

# A file whose text is errors for the most part is no source of its language.
_MOST = 0.5


def cut(path: str, content: bytes, *, parse_seconds: float = PARSE_SECONDS) -> CutFile:
    """Chunks and outline of a file. Takes any bytes; `path` tells the language.

    Computes for as long as it takes, some milliseconds for a usual file: call it in a thread.
    """
    positions = Positions(content)
    language = language_of(path, content)
    if language is None:
        return _by_lines(plain_language_of(path), positions, "")
    syntax = parse(language, content, parse_seconds)
    if syntax is None:
        return _by_lines(language.name, positions, f"takes too long to parse as {language.name}: cut by lines")
    definitions = definitions_of(syntax, positions)
    if not _is_parsed(syntax, definitions, positions):
        return _by_lines(language.name, positions, f"does not parse as {language.name}: cut by lines")
    return _along_syntax(language, syntax, definitions, positions)


def cut_by_lines(path: str, content: bytes, problem: str) -> CutFile:
    """What becomes of a file whose parser does not end: `problem` is a phrase such as `takes too long to parse`."""
    language = language_of(path, content)
    name = language.name if language is not None else plain_language_of(path)
    return _by_lines(name, Positions(content), f"{problem} as {name}: cut by lines")


def _is_parsed(syntax: Syntax, definitions: Definitions, positions: Positions) -> bool:
    if syntax.root.is_error and not definitions.all:
        return False
    wrong = end = 0
    for error in definitions.errors:  # in the order of the file, outer ones first
        if error.start_byte >= end:
            wrong += positions.weight(error.start_byte, error.end_byte)
            end = error.end_byte
    return not wrong or bool(definitions.all) or wrong < _MOST * positions.weight(0, len(positions.content))


def _along_syntax(language: Language, syntax: Syntax, definitions: Definitions, positions: Positions) -> CutFile:
    complexity = complexities(positions.content) if language is PYTHON else {}
    symbols = Symbols(definitions, positions, complexity)
    imports, references, bindings = references_of(syntax.root, language.name, symbols.outline)
    describing = Describing(language, positions, definitions, symbols, imports)
    pieces = Chunking(syntax.root, positions).pieces(definitions.top)
    has_errors = syntax.root.has_error
    return CutFile(
        language=language.name,
        method=CutMethod.SYNTAX_WITH_ERRORS if has_errors else CutMethod.SYNTAX,
        line_count=positions.line_count,
        chunks=tuple(describing.chunk(piece, number) for number, piece in enumerate(pieces)),
        outline=Outline(symbols.outline, imports, references, bindings),
        note=_note(positions, _where(definitions, positions) if has_errors else ""),
    )


def _by_lines(language: str, positions: Positions, note: str) -> CutFile:
    splitter = Splitter(positions)
    pieces = splitter.by_lines(*positions.trimmed(0, len(positions.content)))
    trimmed = [part for piece in pieces for part in splitter.bounded(*positions.trimmed(*piece))]
    return CutFile(
        language=language,
        method=CutMethod.LINES,
        line_count=positions.line_count,
        chunks=tuple(
            Chunk(CodeKind.LINES, span_of(positions, start, end), decoded(positions, start, end))
            for start, end in trimmed
            if positions.weight(start, end)
        ),
        note=_note(positions, note),
    )


def _where(definitions: Definitions, positions: Positions) -> str:
    if not definitions.errors:  # something is missing, and the parser went on as if it were there
        return "syntax errors"
    return f"syntax errors, the first in line {positions.line(definitions.errors[0].start_byte)}"


def _note(positions: Positions, note: str) -> str:
    return "; ".join(each for each in (note, "" if positions.is_utf8 else NOT_UTF8) if each)
