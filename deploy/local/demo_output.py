"""What both parts of the demonstration show."""

import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


def bar(console: Console) -> Progress:
    """How far it is, and in the field `rate` how fast."""
    return Progress(
        TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(), console=console,
    )  # fmt: skip


def answers_text(questions: str, count: int, wrong: Sequence[str], seconds: Sequence[float]) -> str:
    """How many questions were answered right, and how fast."""
    return (
        f"{count - len(wrong)} of {count} {questions} answered right; "
        f"median answer {statistics.median(seconds) * 1000:.0f} ms"
    )
