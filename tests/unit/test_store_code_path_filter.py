"""Filters of paths: beginnings and patterns."""

import pytest

from servicekit.errors import InvalidArgumentError
from store.code.path_filter import path_filter


@pytest.mark.parametrize(
    ("wanted", "path", "matches"),
    [
        ("", "a.py", True),
        ("src/", "src/a.py", True),
        ("src/a", "src/abc.py", True),
        ("src/", "other/src/a.py", False),
        ("*.py", "a.py", True),
        ("*.py", "a/b.py", False),
        ("**/*.py", "a.py", True),
        ("**/*.py", "a/b/c.py", True),
        ("a/**/c.py", "a/c.py", True),
        ("a/**/c.py", "a/x/y/c.py", True),
        ("a/**/c.py", "abc.py", False),
        ("a/**", "a/b/c", True),
        ("a**b", "a/x/b", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[ab].py", "a.py", True),
        ("[!ab].py", "a.py", False),
        ("[^ab].py", "c.py", True),
        ("[!ab]x", "/x", False),
        ("[0-9].py", "5.py", True),
        ("[+-9].py", "/.py", False),
        ("[]].py", "].py", True),
        ("[z-a]x", "bx", False),
        ("[/]x", "/x", False),
        ("[.]x", "ax", False),
        ("[:alpha:]x", "bx", False),
        ("[\\d]x", "1x", False),
        ("[a", "[a", True),
        ("[a", "[ab", False),
        ("x[[]id].ts", "x[id].ts", True),
        ("(a|b)*", "(a|b)c", True),
        ("(a|b)*", "ac", False),
        ("a.c*", "abc", False),
        ("***:*", "***:x", True),
        ("ü*.py", "über.py", True),
        ("?.py", "😀.py", True),
    ],
)
def test_a_path_is_within_a_filter_or_not(wanted: str, path: str, matches: bool) -> None:
    assert path_filter(wanted).matches(path) is matches


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("a" * 1025, "at most 1024 bytes"),
        ("é" * 600, "at most 1024 bytes"),
        ("a\0b", "NUL"),
        ("*a" * 33, "at most 32"),
        ("[ab]" * 33, "at most 32"),
    ],
)
def test_what_is_no_filter_is_refused(wanted: str, why: str) -> None:
    with pytest.raises(InvalidArgumentError, match=why) as refused:
        path_filter(wanted)
    assert refused.value.violations[0].field == "path"


def test_runs_of_a_wildcard_are_one() -> None:
    assert path_filter("**/" * 300 + "*.py") == path_filter("**/*.py")
    assert path_filter("*" * 1000).regex == ".*"
