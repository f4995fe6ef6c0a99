"""Source files to cut, and what became of them, in few words."""

import asyncio
from pathlib import Path

from store.code.cutting import cut
from store.code.positions import UTF8_MARK
from store.code.source import CutFile, Symbol

_FOLDER = Path(__file__).parent / "data" / "code"

#: Most characters of a chunk that are not white space.
LIMIT = 1_600


class ThreadCutter:
    """The Cutter protocol, in threads."""

    async def cut(self, path: str, content: bytes) -> CutFile:
        """Chunks and outline of a file."""
        return await asyncio.to_thread(cut, path, content)


def source(name: str) -> bytes:
    """A file of tests/data/code; there they end in `.txt`, so that no tool takes them for ours."""
    return (_FOLDER / f"{name}.txt").read_bytes()


def sources() -> list[str]:
    """Names of all of them."""
    return sorted(path.name.removesuffix(".txt") for path in _FOLDER.glob("*.txt"))


def chunks_of(file: CutFile) -> list[str]:
    """A line for each chunk: its lines, what it is, and the definitions that begin in it."""
    return [
        f"{chunk.span.start_line}-{chunk.span.end_line} {chunk.kind.value} {chunk.qualified_name or '-'}"
        + (f": {' '.join(each.rpartition('.')[2] for each in chunk.symbols)}" if chunk.symbols else "")
        for chunk in file.chunks
    ]


def symbols_of(file: CutFile) -> list[str]:
    """A line for each definition: its lines, what it is, its name after that of its parent, and its parameters."""
    return [
        f"{each.span.start_line}-{each.span.end_line} {each.kind.value} {each.parent or '-'} {each.name}"
        f"({', '.join(each.parameters)})"
        for each in file.outline.symbols
    ]


def assert_whole(path: str, content: bytes) -> CutFile:
    """Cuts, and checks what is true of any file: nothing is lost, nothing comes twice, no chunk is too large."""
    file = cut(path, content)
    at = 0
    for number, chunk in enumerate(file.chunks):
        start, end = chunk.span.start_byte, chunk.span.end_byte
        assert at <= start < end <= len(content)
        assert not content[at:start].decode(errors="replace").strip()
        text = content[start:end].removeprefix(UTF8_MARK if number == 0 else b"")
        assert text.decode(errors="replace") == chunk.content
        assert chunk.span.start_line == content.count(b"\n", 0, start) + 1
        assert chunk.span.end_line == content.count(b"\n", 0, end - 1) + 1
        assert 0 < len("".join(chunk.content.split())) <= LIMIT
        at = end
    assert not content[at:].removeprefix(UTF8_MARK if not at else b"").decode(errors="replace").strip()
    assert file.line_count == len(content.split(b"\n")) - (not content or content.endswith(b"\n"))
    return file


def symbol(file: CutFile, qualified_name: str, *, number: int = 0) -> Symbol:
    """The definition of a name; `number` from 0 among those of the same name."""
    return [each for each in file.outline.symbols if each.qualified_name == qualified_name][number]
