"""Progress of indexing on a terminal, and nothing elsewhere."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Bar(Progress):
    """How many of the files are settled, and how many a second."""

    def __init__(self, total: int) -> None:
        console = Console(stderr=True)
        super().__init__(
            BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._files = self.add_task("", total=total)
        self._total = total
        self._began = time.monotonic()

    def show(self, done: int) -> None:
        """Show how far it is; with the last file begins what comes after all of them."""
        rate = f"{done / max(time.monotonic() - self._began, 0.001):,.0f} files/s"
        after = ", resolving calls and imports" if done >= self._total else ""
        self.update(self._files, completed=done, description=f"{rate}{after}")
