"""Lines of code on a terminal: coloured there, and plain elsewhere."""

from collections.abc import Collection, Sequence

from rich.syntax import Syntax
from rich.text import Text

from trimem.client.cli.failures import plain
from trimem.client.cli.output import printer


def show_lines(lines: Sequence[str], start: int, language: str, matching: Collection[int] = ()) -> None:
    """Print lines with their numbers; those that match have a mark, and are bright."""
    # Before anything is coloured: what others wrote must bring no colours, nor anything else, of its own.
    clean = [plain(line.expandtabs(4)).rstrip() for line in lines]
    syntax = Syntax("", language, theme="ansi_dark", background_color="default")
    coloured = syntax.highlight("\n".join(clean)).split("\n", allow_blank=True)[: len(clean)]
    width = len(str(start + len(clean)))
    out = printer()
    for number, text in enumerate(coloured, start=start):
        is_match = number in matching
        line = Text.assemble(
            (f"{number:>{width}}", "yellow" if is_match else "dim"), (" > " if is_match else "   "), no_wrap=True
        )
        if is_match:
            text.stylize("bold on grey23")
        line.append_text(text)
        line.rstrip()
        out.print(line, soft_wrap=True)
