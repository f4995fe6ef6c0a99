"""`trimem code index` against a service that keeps files: what it sends, prints and ends with."""

import json
import os
from errno import EIO
from pathlib import Path
from typing import Any

import pytest

from servicekit.errors import FailedPreconditionError
from tests.fixtures_client_code import FakeCode
from tests.fixtures_client_command_line import BrokenEntry, Terminal, break_disk
from trimem.client.cli.code_progress import Bar
from trimem.client.cli.code_reading import Folder
from trimem.client.cli.code_sending import Sending
from trimem.client.indexing import MOST_FILES


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A folder of a repository, called `ours`."""
    folder = tmp_path / "ours"
    for path, content in {"a.py": "a = 1\n", "src/b.go": "package b\n", "node_modules/x.js": "x"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return folder


async def test_a_folder_is_indexed_and_what_is_gone_is_deleted(trimem: Terminal, code: FakeCode, top: Path) -> None:
    first = await trimem("index", str(top))
    assert (first.status, first.problems) == (0, "")
    assert first.output.replace(" (--all takes vendored ones)", "").splitlines() == [
        "ours: 2 files stored (4 chunks, 2 of them embedded), 0 unchanged, 0 deleted, 0 failed; skipped 1 vendored",
        "the graph has 2 nodes and 2 edges",
    ]
    assert code.repositories == {"ours": {"a.py": b"a = 1\n", "src/b.go": b"package b\n"}}
    (top / "a.py").unlink()
    (top / "c.py").write_text("c")
    again = (await trimem("index", str(top), "--json")).document()
    assert (again["stored"], again["unchanged"], again["deleted"], again["failed"]) == (1, 1, 1, 0)
    assert again["skipped"] == {"vendored": 1}
    assert set(code.repositories["ours"]) == {"c.py", "src/b.go"}


async def test_the_second_run_sends_no_content(trimem: Terminal, code: FakeCode, top: Path) -> None:
    await trimem("index", str(top))
    code.calls.clear()
    assert (await trimem("index", str(top))).status == 0
    assert [message.WhichOneof("item") for [*messages] in code.calls for message in messages] == [
        "unchanged", "unchanged", "commit",
    ]  # fmt: skip


async def test_a_run_that_was_broken_off_goes_on(trimem: Terminal, code: FakeCode, top: Path) -> None:
    for number in range(2 * MOST_FILES):
        (top / f"{number}.py").write_text(str(number))
    code.failures = [None, FailedPreconditionError("another model made the stored vectors")]
    broken = await trimem("index", str(top))
    assert broken.status == 1
    assert "another model" in broken.problems
    assert f"broken off after ours: {MOST_FILES} files stored" in broken.problems
    again = (await trimem("index", str(top), "--json")).document()
    assert (again["stored"], again["unchanged"]) == (MOST_FILES + 2, MOST_FILES)


async def test_without_a_commit_or_with_others_kept_nothing_is_deleted(
    trimem: Terminal, code: FakeCode, top: Path
) -> None:
    code.repositories["r"] = {"old.py": b"old"}
    assert (await trimem("index", str(top), "-r", "r", "--no-commit", "--include", "*.go")).status == 0
    assert set(code.repositories["r"]) == {"old.py", "src/b.go"}
    assert (await trimem("index", str(top), "-r", "r", "--keep-others")).status == 0
    assert set(code.repositories["r"]) == {"old.py", "src/b.go", "a.py"}
    assert (await trimem("index", str(top), "-r", "r", "--exclude", "src/", "--all")).status == 0
    assert set(code.repositories["r"]) == {"a.py", "node_modules/x.js"}


async def test_a_dry_run_asks_nobody(trimem: Terminal, code: FakeCode, top: Path) -> None:
    (top / "link").symlink_to("a.py")
    dry = await trimem("index", str(top), "--dry-run")
    assert dry.output.splitlines() == ["a.py", "src/b.go"]
    assert "trimem: link: symbolic link\n" in dry.problems
    document = (await trimem("index", str(top), "--dry-run", "--json")).document()
    assert document["skipped"] == {"link": "symbolic link", "node_modules/": "vendored"}
    assert code.calls == []


async def test_files_that_fail_are_told_one_by_one_and_keep_what_is_stored(
    trimem: Terminal, code: FakeCode, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top / "odd.py").write_text("odd")
    (top / "locked.py").write_text("locked")
    (top / "binary.py").write_bytes(b"x" * 9000 + b"\0")
    (top / os.fsdecode(b"\xff.py")).touch()
    code.repositories["ours"] = {"odd.py": b"old", "locked.py": b"old", "binary.py": b"old"}
    code.refused = {"odd.py"}
    read = Folder.read

    def deny(self: Folder, path: str, most: int) -> bytes:
        if path == "locked.py":
            raise PermissionError(13, "Permission denied")
        return read(self, path, most)

    monkeypatch.setattr(Folder, "read", deny)
    ended = await trimem("index", str(top), "--json")
    assert ended.status == 1
    document = json.loads(ended.output)
    assert (document["stored"], document["failed"]) == (2, 3)
    assert {one["path"]: one["reason"] for one in document["problems"]} == {
        "\\xff.py": "the name is not UTF-8",
        "locked.py": "cannot be read: Permission denied",
        "odd.py": "file.content: is odd",
    }
    assert document["skipped"]["binary"] == 1
    assert sorted(ended.problems.splitlines()) == [
        "trimem: \\xff.py: the name is not UTF-8",
        "trimem: binary.py: is binary, and not indexed; what is stored of it is kept",
        "trimem: locked.py: cannot be read: Permission denied",
        "trimem: odd.py: file.content: is odd",
    ]
    assert code.repositories["ours"]["odd.py"] == code.repositories["ours"]["locked.py"] == b"old"


async def test_what_is_too_large_or_binary_is_named_and_keeps_what_is_stored(
    trimem: Terminal, code: FakeCode, top: Path
) -> None:
    (top / "generated.py").write_text("x = 1\n")
    (top / "data.py").write_text("x = 1\n")
    await trimem("index", str(top))
    (top / "generated.py").write_text("x = 1\n" * 100)
    (top / "data.py").write_bytes(b"\0")
    (top / "new.py").write_text("x = 1\n" * 100)
    (top / "b.py").symlink_to("a.py")
    ended = await trimem("index", str(top), "--max-bytes", "99", "--json")
    assert ended.status == 0
    assert sorted(ended.problems.splitlines()) == [
        "trimem: b.py: a symbolic link is not followed",
        "trimem: data.py: is binary, and not indexed; what is stored of it is kept",
        "trimem: generated.py: is larger than --max-bytes, and not indexed; what is stored of it is kept",
        "trimem: new.py: is larger than --max-bytes, and not indexed",
    ]
    document = json.loads(ended.output)
    assert (document["unchanged"], document["deleted"], document["failed"]) == (4, 0, 0)
    assert {one["path"]: one["reason"] for one in document["skipped_files"]} == {
        "b.py": "symbolic link", "data.py": "binary", "generated.py": "too large", "new.py": "too large",
    }  # fmt: skip
    assert code.repositories["ours"]["generated.py"] == code.repositories["ours"]["data.py"] == b"x = 1\n"
    code.is_outdated = True
    ended = await trimem("index", str(top), "--max-bytes", "99")
    assert (ended.status, ended.problems.count("\n")) == (0, 4)
    (top / "data.py").unlink()
    assert (await trimem("index", str(top), "--max-bytes", "99", "--json")).document()["deleted"] == 1


async def test_files_of_a_folder_that_cannot_be_read_are_kept(
    trimem: Terminal, code: FakeCode, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await trimem("index", str(top))

    def deny(_entries: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    break_disk(monkeypatch, "src", deny)
    ended = await trimem("index", str(top))
    assert ended.status == 1
    assert ended.problems == "trimem: src/: cannot be read: Permission denied\n"
    assert set(code.repositories["ours"]) == {"a.py", "src/b.go"}


async def test_files_of_a_folder_that_breaks_off_are_named_once(
    trimem: Terminal, code: FakeCode, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top / "src" / "c.go").write_text("package c\n")
    await trimem("index", str(top))

    def break_off(entries: Any) -> Any:
        yield next(entries)
        raise OSError(EIO, "Input/output error")

    break_disk(monkeypatch, "src", break_off)
    ended = await trimem("index", str(top), "--json")
    assert ended.problems == "trimem: src/: cannot be read: Input/output error\n"
    document = json.loads(ended.output)
    assert [document[name] for name in ("stored", "unchanged", "deleted", "failed")] == [0, 3, 0, 1]


@pytest.mark.parametrize(("folder", "name", "method"), [("src", "b.go", "stat"), ("ours", "src", "is_dir")])
async def test_what_cannot_be_looked_at_is_kept_with_all_that_may_be_in_it(
    trimem: Terminal, code: FakeCode, top: Path, monkeypatch: pytest.MonkeyPatch, *, folder: str, name: str, method: str
) -> None:
    await trimem("index", str(top))
    (top / "a.py").unlink()
    break_disk(
        monkeypatch, folder, lambda found: (BrokenEntry(one, method) if one.name == name else one for one in found)
    )
    ended = await trimem("index", str(top))
    assert ended.status == 1
    assert ended.problems.endswith(f"{name}: cannot be read: Input/output error\n")
    assert set(code.repositories["ours"]) == {"src/b.go"}


async def test_what_vanishes_or_becomes_a_link_before_it_is_read_is_not_sent(
    trimem: Terminal, code: FakeCode, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top.parent / "secret").mkdir()
    (top.parent / "secret" / "b.go").write_text("secret")
    sending = Sending.run

    def exchange(self: Sending, *arguments: Any, **options: Any) -> None:
        (top / "a.py").unlink()
        (top / "src").rename(top / "moved")
        (top / "src").symlink_to(top.parent / "secret")
        sending(self, *arguments, **options)

    monkeypatch.setattr(Sending, "run", exchange)
    ended = await trimem("index", str(top))
    assert ended.status == 0
    assert "trimem: a.py: vanished before it was read\n" in ended.problems
    assert "trimem: src/b.go: a symbolic link is not followed\n" in ended.problems
    assert code.repositories["ours"] == {}


async def test_a_terminal_sees_files_a_second_and_problems_above_them(
    trimem: Terminal, code: FakeCode, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    code.refused = {"a.py"}
    ended = await trimem("index", str(top))
    assert "files/s" in ended.problems
    assert "trimem: a.py: file.content: is odd" in ended.problems
    assert "files/s" not in ended.output


async def test_progress_counts_each_file_once(
    trimem: Terminal, code: FakeCode, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(MOST_FILES):
        (top / f"{number}.py").write_text(str(number))
    await trimem("index", str(top))
    for number in range(100, 100 + MOST_FILES):
        (top / f"{number}.py").write_text(str(number))
    code.refused = {"100.py"}
    code.calls.clear()
    shown: list[int] = []

    def show(_bar: Bar, done: int) -> None:
        if not (code.calls and code.calls[-1][-1].HasField("commit")):
            shown.append(done)

    monkeypatch.setattr(Bar, "show", show)
    (top / "binary.py").write_bytes(b"\0")
    await trimem("index", str(top))
    # Those that are not sent, one by one, and then the call of the new ones.
    assert shown == [*range(1, MOST_FILES + 4), 2 * MOST_FILES + 3]


async def test_an_empty_folder_does_not_empty_a_repository(trimem: Terminal, code: FakeCode, tmp_path: Path) -> None:
    code.repositories["ours"] = {"a.py": b"a"}
    (tmp_path / "empty").mkdir()
    ended = await trimem("index", str(tmp_path / "empty"), "-r", "ours")
    assert ended.status == 2
    assert "1 files are stored as ours" in ended.problems
    assert set(code.repositories["ours"]) == {"a.py"}


async def test_a_folder_that_is_none_is_exit_status_2(trimem: Terminal, top: Path) -> None:
    for path in (top / "a.py", top / "nowhere"):
        ended = await trimem("index", str(path))
        assert ended.status == 2
        assert ended.problems.count("\n") == 1


async def test_failures_behind_a_thousand_notes_are_told_and_counted(
    trimem: Terminal, code: FakeCode, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimem.client.indexing.MOST_RESULTS", 2)
    code.noted = "syntax errors"
    code.refused = {"z1.py", "z2.py", "z3.py"}
    for path in code.refused:
        (top / path).touch()
    ended = await trimem("index", str(top))
    assert ended.status == 1
    assert "2 files stored (4 chunks, 2 of them embedded), 0 unchanged, 0 deleted, 3 failed" in ended.output
    assert ended.problems.splitlines() == [
        "trimem: z1.py: file.content: is odd",
        "trimem: z2.py: file.content: is odd",
        "trimem: 1 more files failed",
    ]


@pytest.mark.parametrize("option", ["--exclude", "--include"])
async def test_a_pattern_that_is_none_is_exit_status_2(trimem: Terminal, top: Path, option: str) -> None:
    ended = await trimem("index", str(top), option, "!")
    assert (ended.status, ended.problems) == (2, f"trimem: {option}: ! is not a pattern as in .gitignore\n")
