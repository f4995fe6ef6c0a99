"""Progress of indexing on a terminal, and nothing elsewhere."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Bar:
    """How many of the files are settled, and how many a second."""

    def __init__(self, total: int) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=total)
        self._began = time.monotonic()

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._progress.stop()

    def show(self, done: int) -> None:
        """Show how far it is."""
        rate = done / max(time.monotonic() - self._began, 0.001)
        self._progress.update(self._task, completed=done, description=f"{rate:,.0f} files/s")

    def resolve(self) -> None:
        """Say that the files are through, and what is done now."""
        self._progress.update(self._task, description="resolving calls and imports")
