"""What the demonstration with code says in the end."""

from io import StringIO

from rich.console import Console

from deploy.local.code_questions import CODE_QUESTIONS
from deploy.local.demo_code import CodeSummary, _conclude


def test_files_that_failed_are_no_questions() -> None:
    console = Console(file=StringIO(), width=500)
    summary = CodeSummary(index_seconds=1, answer_seconds=[0.1], not_indexed=["a.py was not indexed"], wrong=["which?"])
    _conclude(console, summary)
    count = len(CODE_QUESTIONS) + 1
    assert isinstance(console.file, StringIO)
    assert f"{count - 1} of {count} questions about code answered right" in console.file.getvalue()
