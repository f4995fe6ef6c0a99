"""`make demo`, with the real model, twice."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from deploy.local import demo, demo_code
from deploy.local.__main__ import show
from deploy.local.code_questions import CALL_QUESTION, CODE_QUESTIONS
from deploy.local.library import MOST_BYTES, PACKAGES, files
from deploy.local.passages import MAX_WORDS, passages
from deploy.local.questions import QUESTIONS
from deploy.local.settings import LocalSettings
from tests.conftest import NewDatabase
from tests.e2e.stack_process import ENVIRONMENT, stack_process


@pytest.mark.timeout(1200)
async def test_the_demonstration_answers_right_and_stores_nothing_twice(tmp_path: Path) -> None:
    count = f"{len(passages()):,}"
    async with stack_process("demo", tmp_path, EMBEDDING_MODE="real") as first:
        assert await first.until_ended(timeout=900) == 0, first.output
    assert f"{count} stored and embedded, 0 were there already" in first.output
    assert f"{len(QUESTIONS)} of {len(QUESTIONS)} questions answered right" in first.output
    about_code = len(CODE_QUESTIONS) + 1
    assert f"{len(files())} files stored, 0 were there already" in first.output
    assert f"{about_code} of {about_code} questions about code answered right" in first.output

    async with stack_process("demo", tmp_path, EMBEDDING_MODE="real") as again:
        assert await again.until_ended(timeout=200) == 0, again.output
    assert f"0 stored and embedded, {count} were there already" in again.output
    assert f"0 files stored, {len(files())} were there already, 0 chunks embedded" in again.output


async def test_the_demonstration_fails_when_what_is_expected_is_not_found(
    tmp_path: Path, new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await new_database()
    for name, value in {**ENVIRONMENT, "TRIMEM_DATA_DIR": str(tmp_path), "DATABASE_URL": url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(demo, "passages", lambda: passages()[:40])
    monkeypatch.setattr(demo_code, "files", lambda: files()[:5])
    printed = StringIO()
    assert await show(LocalSettings(_env_file=None), Console(file=printed, width=500)) == 1
    wrong = [line for line in printed.getvalue().splitlines() if line.startswith("wrong answer: ")]
    assert any("expected the topic" in line for line in wrong)
    assert any(question.text in line for question in CODE_QUESTIONS for line in wrong)


def test_there_are_over_a_thousand_passages_each_of_one_topic_and_short_enough_for_the_model() -> None:
    found = passages()
    assert len(found) >= 1000
    assert len({passage.id for passage in found}) == len({passage.text for passage in found}) == len(found)
    assert all(passage.topic and passage.text.strip() for passage in found)
    assert max(len(passage.text.split()) for passage in found) <= 3 * MAX_WORDS


def test_passages_have_the_same_ids_in_every_run() -> None:
    assert [passage.id for passage in passages()] == [passage.id for passage in passages()]


def test_at_least_six_questions_and_one_with_a_filter() -> None:
    assert len(QUESTIONS) >= 6
    assert any(question.only for question in QUESTIONS)
    assert {question.topic for question in QUESTIONS} <= {passage.topic for passage in passages()}


def test_there_are_over_three_hundred_files_of_code_and_none_that_takes_long() -> None:
    found = dict(files())
    assert len(found) >= 300
    assert max(map(len, found.values())) <= MOST_BYTES
    assert {path.partition("/")[0] for path in found if "/" in path} == set(PACKAGES)
    assert {question.path for question in CODE_QUESTIONS} <= set(found)


def test_questions_about_code_are_of_all_kinds() -> None:
    assert len(CODE_QUESTIONS) >= 6
    assert any(question.only for question in CODE_QUESTIONS)
    assert CALL_QUESTION.callers
