"""Where things are in a file: lines, and how many characters that are not white space lie between two bytes."""

from bisect import bisect_right

import numpy as np
import numpy.typing as npt

#: What lies between chunks. White space beyond ASCII does so only where there is nothing else.
WHITE_SPACE = b" \t\r\n\f\v"

UTF8_MARK = b"\xef\xbb\xbf"

_IS_SPACE = np.zeros(256, dtype=bool)
_IS_SPACE[list(WHITE_SPACE)] = True


class Positions:
    """Of one file. Made in one pass; what it is asked afterwards does not depend on the length of the file."""

    def __init__(self, content: bytes) -> None:
        """`content` need not be UTF-8."""
        self.content = content
        #: First bytes of lines.
        self.lines: list[int] = [0]
        codes = np.frombuffer(content, dtype=np.uint8)
        counted = ~_IS_SPACE[codes]
        if content.startswith(UTF8_MARK):
            counted[: len(UTF8_MARK)] = False
        self.is_utf8 = _is_utf8(content)
        if self.is_utf8:  # a character counts once; where it is not, each byte may become one
            counted &= (codes & 0xC0) != 0x80
        before: npt.NDArray[np.int64] = np.concatenate(([0], np.cumsum(counted, dtype=np.int64)))
        self._before = before
        self._weights = before.data  # gives numbers of Python's own, at a third of the cost
        self.lines += (np.flatnonzero(codes == ord("\n")) + 1).tolist()

    def weight(self, start: int, end: int) -> int:
        """Characters from byte to byte that are not white space."""
        return self._weights[end] - self._weights[start]

    def text(self, start: int, end: int) -> str:
        """Decoded; what is no UTF-8 is replaced."""
        return self.content[start:end].decode(errors="replace")

    def furthest(self, start: int, weight: int) -> int:
        """The last byte up to which no more than `weight` characters lie; never inside of a character."""
        return int(np.searchsorted(self._before, self._before[start] + weight, side="right")) - 1

    def line(self, byte: int) -> int:
        """The number, from 1, of the line that the byte is in."""
        return bisect_right(self.lines, byte)

    def line_start(self, byte: int) -> int:
        """First byte of the line that the byte is in."""
        return self.lines[bisect_right(self.lines, byte) - 1]

    @property
    def line_count(self) -> int:
        """Of the whole file; what follows the last newline is a line when there is something."""
        return len(self.lines) - (self.lines[-1] == len(self.content))

    def trimmed(self, start: int, end: int) -> tuple[int, int]:
        """Without white space around it, but with the indentation of its first line, which no piece before it has."""
        piece = self.content[start:end]
        first = start + len(piece) - len(piece.lstrip(WHITE_SPACE))
        last = start + len(piece.rstrip(WHITE_SPACE))
        if first >= last or (not 32 < self.content[first] < 128 and not self.text(first, last).strip()):
            return start, start
        line = self.line_start(first)
        return (line if not self.content[line:first].strip(b" \t") else first), last


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
