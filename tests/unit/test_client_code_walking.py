"""Which files of a folder are indexed, and that nothing outside of it is read."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures_client_command_line import BrokenEntry, break_disk
from trimem.client.cli.code_ignoring import Ignoring, repository_name
from trimem.client.cli.code_reading import ChangedError, Folder, NotRegularError
from trimem.client.cli.code_walking import Found, Selection, Skipped, Walk


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """An empty repository, with a secret beside it."""
    (tmp_path / "secret.py").write_text("password = 1")
    folder = tmp_path / "repository"
    (folder / ".git" / "info").mkdir(parents=True)
    return folder


@pytest.fixture
def folder(top: Path) -> Iterator[Folder]:
    opened = Folder(top)
    yield opened
    opened.close()


def write(top: Path, *paths: str, text: str = "x = 1\n") -> None:
    for path in paths:
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text)


def walk(folder: Folder, *include: str, exclude: tuple[str, ...] = (), everything: bool = False) -> Found:
    return Walk(folder, Selection(include, exclude, everything, most_bytes=1000)).run()


def test_all_files_are_found_in_the_order_of_their_paths(top: Path, folder: Folder) -> None:
    write(top, "b.py", "a/z.go", "a/b/c.rs", ".github/ci.yml")
    found = walk(folder)
    assert found.files == [".github/ci.yml", "a/b/c.rs", "a/z.go", "b.py"]
    assert (found.skipped, found.problems) == ({}, {})


def test_vendored_folders_and_files_are_skipped_unless_all_is_wanted(top: Path, folder: Folder) -> None:
    write(top, "a.py", "node_modules/x/i.js", "web/app.min.js", "__pycache__/a.pyc", "env39/lib/x.py", "yarn.lock")
    (top / "env39" / "pyvenv.cfg").touch()
    found = walk(folder)
    assert found.files == ["a.py"]
    assert set(found.skipped) == {"node_modules/", "web/app.min.js", "__pycache__/", "env39/", "yarn.lock"}
    assert set(found.skipped.values()) == {Skipped.VENDORED}
    assert len(walk(folder, everything=True).files) == 7
    assert not [path for path in walk(folder, everything=True).files if path.startswith(".git/")]


def test_gitignore_files_of_all_levels_are_respected(top: Path, folder: Folder) -> None:
    write(top, ".gitignore", text="*.log\n/out/\n!keep.log\n# a comment\n\n")
    write(top, "a/.gitignore", text="!a.log\n*.tmp\n/b/*\n!/b/c.py\n")
    write(top, ".git/info/exclude", text="mine.*\n")
    write(top, "x.log", "keep.log", "out/x.py", "a/out/x.py", "a/a.log", "a/x.tmp", "x.tmp", "a/mine.py")
    write(top, "a/b/c.py", "a/b/d.py")
    found = walk(folder)
    assert found.files == [".gitignore", "a/.gitignore", "a/a.log", "a/b/c.py", "a/out/x.py", "keep.log", "x.tmp"]
    assert set(found.skipped.values()) == {Skipped.IGNORED}


def test_a_gitignore_with_patterns_that_are_none_does_no_harm(top: Path, folder: Folder) -> None:
    (top / ".gitignore").write_bytes(b"[z-a\n\xff\xfe\n***/x\n!\n*.log\n\\\n")
    write(top, "a.log", "a.py")
    assert "a.py" in walk(folder).files
    assert "a.log" not in walk(folder).files


def test_rules_of_a_repository_hold_in_a_folder_of_it(top: Path) -> None:
    write(top, ".gitignore", text="/src/gen/\n*.log\nlocal/\n")
    write(top, "src/a.py", "src/a.log", "src/gen/b.py", "local/c.py")
    for name, files in {"src": ["a.py"], "local": ["c.py"]}.items():
        folder = Folder(top / name)
        try:
            assert walk(folder).files == files, "who names an ignored folder wants what is in it"
        finally:
            folder.close()


def test_globs_choose(top: Path, folder: Folder) -> None:
    write(top, "src/a.py", "src/b.go", "src/deep/c.py", "tests/d.py", "tests/data/e.py")
    assert walk(folder, "*.py", exclude=("tests/data/", "d.py")).files == ["src/a.py", "src/deep/c.py"]
    assert walk(folder, "/src/*.go", "/src/deep/").files == ["src/b.go", "src/deep/c.py"]


def test_links_are_told_and_never_followed(top: Path, folder: Folder) -> None:
    write(top, "a/b.py")
    (top / "a" / "loop").symlink_to("..")
    (top / "out").symlink_to(top.parent)
    (top / "secret.py").symlink_to(top.parent / "secret.py")
    (top / "gone.py").symlink_to("nowhere")
    found = walk(folder)
    assert found.files == ["a/b.py"]
    assert found.skipped == dict.fromkeys(["a/loop", "out", "secret.py", "gone.py"], Skipped.LINK)


def test_what_is_no_file_is_not_opened(top: Path, folder: Folder) -> None:
    os.mkfifo(top / "pipe.py")
    assert walk(folder).skipped == {"pipe.py": Skipped.SPECIAL}
    with pytest.raises(NotRegularError):
        folder.read("pipe.py", 100)


def test_large_files_are_skipped(top: Path, folder: Folder) -> None:
    write(top, "large.py", text="x" * 1001)
    write(top, "just.py", text="x" * 1000)
    found = walk(folder)
    assert (found.files, found.skipped) == (["just.py"], {"large.py": Skipped.TOO_LARGE})


def test_a_file_that_vanishes_takes_no_other_with_it(
    top: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [f"a/{number}.py" for number in range(9)]
    write(top, *paths)
    is_ignored = Ignoring.is_ignored

    def vanish(self: Ignoring, path: str, *, is_folder: bool) -> bool:
        if path == paths[4]:
            (top / path).unlink()
        return is_ignored(self, path, is_folder=is_folder)

    monkeypatch.setattr(Ignoring, "is_ignored", vanish)
    found = walk(folder)
    assert found.files == paths[:4] + paths[5:]
    assert (found.skipped, found.problems) == ({paths[4]: Skipped.VANISHED}, {})


@pytest.mark.parametrize("method", ["is_dir", "stat"])
def test_an_entry_that_cannot_be_looked_at_takes_no_other_with_it(
    top: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    paths = [f"a/{number}.py" for number in range(9)]
    write(top, *paths)
    break_disk(
        monkeypatch, "a", lambda found: (BrokenEntry(one, method) if one.name == "4.py" else one for one in found)
    )
    found = walk(folder)
    assert found.files == paths[:4] + paths[5:]
    assert (found.skipped, found.problems) == ({}, {paths[4]: "cannot be read: Input/output error"})


def test_names_that_are_no_utf8_are_a_problem_of_their_own(top: Path, folder: Folder) -> None:
    write(top, "ä.py")
    (top / os.fsdecode(b"b\xff.py")).touch()
    (top / os.fsdecode(b"d\xfe")).mkdir()
    found = walk(folder)
    assert found.files == ["ä.py"]
    assert found.problems == dict.fromkeys(["b\\xff.py", "d\\xfe"], "the name is not UTF-8")


@pytest.mark.parametrize("path", ["link.py", "a/b.py"])
def test_what_became_a_link_after_it_was_found_is_not_read(top: Path, folder: Folder, path: str) -> None:
    write(top, "link.py", "a/b.py")
    outside = top.parent / "outside"
    outside.mkdir()
    (outside / "b.py").write_text("secret")
    assert path in walk(folder).files
    (top / "link.py").unlink()
    (top / "link.py").symlink_to(top.parent / "secret.py")
    (top / "a").rename(top.parent / "moved")
    (top / "a").symlink_to(outside)
    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        folder.read(path, 100)


def test_a_folder_that_is_renamed_stays_the_one_that_was_opened(top: Path, folder: Folder) -> None:
    write(top, "a.py", text="ours")
    top.rename(top.parent / "elsewhere")
    top.mkdir()
    write(top, "a.py", text="theirs")
    assert folder.read("a.py", 100) == b"ours"


def test_a_file_that_changes_while_it_is_read_is_told(
    top: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(top, "a.py", text="one")
    read, changes = os.read, 1

    def read_and_change(descriptor: int, most: int) -> bytes:
        nonlocal changes
        content = read(descriptor, most)
        if changes and content:
            changes -= 1
            (top / "a.py").write_text("another one")
        return content

    monkeypatch.setattr("trimem.client.cli.code_reading.os.read", read_and_change)
    assert folder.read("a.py", 100) == b"another one", "read once more"
    changes = 99
    write(top, "a.py", text="two")
    with pytest.raises(ChangedError):
        folder.read("a.py", 100)


def test_no_more_is_read_than_it_takes_to_know_that_a_file_is_too_large(top: Path, folder: Folder) -> None:
    write(top, "a.py", text="x" * 5000)
    assert len(folder.read("a.py", 1000)) == 1001


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ('[remote "origin"]\n\turl = git@github.com:acme/back-end.git\n', "acme/back-end"),
        (
            '[core]\n\tbare = false\n[remote "origin"]\n\tfetch = +refs\n\turl = https://u:p@host/a/x.git/\n',
            "a/x",
        ),
        ('[remote "origin"]\n\turl = ssh://git@host:22/group/sub/name\n', "sub/name"),
        ('[remote "other"]\n\turl = git@github.com:acme/x.git\n', "repository"),
        ('[remote "origin"]\n[remote "other"]\n\turl = git@github.com:acme/x.git\n', "repository"),
        ('[remote "origin"]\n\turl = /srv/../x.git\n', "repository"),
        ("\0\0nonsense", "repository"),
    ],
)
def test_a_repository_is_called_like_its_origin_or_its_folder(
    top: Path, folder: Folder, config: str, name: str
) -> None:
    (top / ".git" / "config").write_text(config)
    assert repository_name(folder) == name


def test_a_config_that_is_a_link_is_not_read(top: Path, folder: Folder) -> None:
    (top.parent / "config").write_text('[remote "origin"]\n\turl = git@github.com:acme/x.git\n')
    (top / ".git" / "config").symlink_to(top.parent / "config")
    assert repository_name(folder) == "repository"


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "my code: ü 2").mkdir()
    folder = Folder(tmp_path / "my code: ü 2")
    assert repository_name(folder) == "my-code-2"
    assert not Ignoring(folder).is_ignored("a.py", is_folder=False)
    folder.close()


def test_a_config_of_white_space_is_read_line_by_line(top: Path, folder: Folder) -> None:
    (top / ".git" / "config").write_text('[remote "origin"]\n' + " \n" * 200_000)
    assert repository_name(folder) == "repository"


def test_patterns_that_take_forever_are_passed_over_and_told_once(
    top: Path, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "a" * 200
    write(top, ".gitignore", text="*a*a*a*a*a*a*ab\n**/a/**/a/**/a/**/a/**/a/b\n*.l*g*\n**/t/**/*.tmp\n")
    write(top, "s/.gitignore", text="*a*a*a*a*a*a*ab\n")
    write(top, f"s/{name}", "/".join("a" * 60) + "/c", "x.log", "t/a/b.tmp")
    assert [path for path in walk(folder).files if not path.endswith(".gitignore")] == [
        "/".join("a" * 60) + "/c",
        f"s/{name}",
    ]
    assert capsys.readouterr().err.count("\n") == 1


def test_lines_of_a_gitignore_end_as_in_git(top: Path, folder: Folder) -> None:
    (top / ".gitignore").write_bytes(b"\xef\xbb\xbf*.tmp\r\nx\x0c*.py\n*.log\r\n")
    write(top, "a.tmp", "a.py", "a.log")
    assert walk(folder).files == [".gitignore", "a.py"]


def test_a_gitignore_that_is_too_large_is_none_and_told(
    top: Path, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    write(top, "in/.gitignore", text="*.py\n" + "#" * 1024 * 1024)
    write(top, "in/a.py")
    assert walk(folder).files == ["in/a.py"]
    assert f"{top}/in/.gitignore: too large" in capsys.readouterr().err


def test_who_complains_of_patterns_says_of_which_file(top: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(top, ".git/info/exclude", text="*a*a*a*a*a*a*ab\n")
    folder = Folder(top)
    assert walk(folder).files == []
    folder.close()
    assert f"{top}/.git/info/exclude: patterns with many wildcards" in capsys.readouterr().err


def test_a_file_that_leads_to_a_repository_is_none_of_its_files(tmp_path: Path) -> None:
    write(tmp_path, "a.py", ".git", "module/.git", text="gitdir: elsewhere\n")
    folder = Folder(tmp_path)
    assert walk(folder).files == ["a.py"]
    folder.close()


def test_a_folder_above_that_may_not_be_listed_has_no_rules(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(top, ".gitignore", text="*.py\n")
    write(top, "in/a.py")

    def deny(path: Path) -> Folder:
        raise PermissionError(13, "Permission denied", path)

    folder = Folder(top / "in")
    monkeypatch.setattr("trimem.client.cli.code_ignoring.Folder", deny)
    assert walk(folder).files == ["a.py"]
    folder.close()
