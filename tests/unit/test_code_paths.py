"""Names of repositories and paths of files."""

import pytest

from servicekit.errors import InvalidArgumentError
from store.code.paths import accept_path, accept_repository


@pytest.mark.parametrize("name", ["a", "acme/backend", "git@host/x.y_z-1", "A" * 200])
def test_repositories_may_be_called(name: str) -> None:
    assert accept_repository(name) == name


@pytest.mark.parametrize("name", ["", " ", "a b", "a\n", "a\x00", "ä", "a" * 201, "a;b", "'"])
def test_repositories_must_not_be_called(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^repository: "):
        accept_repository(name)


@pytest.mark.parametrize(
    "path", ["a", "a.py", ".gitignore", "a/..b/c...py", "ä/日本.py", "a b.py", "ab:c", "..a", "x" * 1024, "'; --", "%"]
)
def test_files_may_be_at(path: str) -> None:
    assert accept_path("file.path", path) == path


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/etc/passwd", "//a", "..", ".", "../a", "../../etc/passwd", "a/../b", "a/..", "a/./b", "./a", "a//b",
        "a/", "\\a", "..\\a", "a\\..\\b", "C:a", "c:/a", "a\x00", "a\r", "\x7f", "a\ud800", "x" * 1025, "ä" * 513,
    ],
)  # fmt: skip
def test_files_must_not_be_at(path: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^file\.path: "):
        accept_path("file.path", path)
