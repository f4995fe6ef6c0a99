"""Which words a text is found by."""

import pytest

from store.terms import LONGEST_WORD
from store.use_cases.words import words_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Running", "run"),
        ("Ada's", "ada"),
        ("Ada\u2019s", "Ada's"),
        ("STRASSE", "straße"),
        ("ﬁle", "file"),
        ("\uff26\uff55\uff4c\uff4c", "full"),
        ("cafe\u0301", "café"),
        ("find_all_events", "find, all events!"),
        ("__init__", "init"),
        ("(quoted)", "'quoted'"),
        ("東京都", "「東京」 京都"),
        ("𐍈𐍉", " 𐍈𐍉 "),
        ("שלום עולם", "עולם שלום"),
        ("हिन्दी", "हिन्दी।"),
        ("x" * LONGEST_WORD, "x" * 1000),
    ],
)
def test_texts_of_the_same_words_are_the_same(one: str, other: str) -> None:
    assert words_of(one).terms
    assert words_of(one) == words_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("don't", "don"),
        ("東京", "京東"),
        ("universe", "university"),
        ("हिन्दी", "हन्द"),
        ("é", "e"),
    ],
)
def test_other_words_are_others(one: str, other: str) -> None:
    assert not set(words_of(one).terms) & set(words_of(other).terms)


def test_words_are_counted_and_sorted() -> None:
    words = words_of("to be or not to be, that is to be")

    assert list(words.terms) == sorted(set(words.terms))
    assert dict(zip(words.terms, words.counts, strict=True))[words_of("be").terms[0]] == 3
    assert words.total == 10
    assert len(words.terms) == 6


def test_the_first_distinct_words_may_be_asked_for() -> None:
    words = words_of("one two two three four", 3)

    assert set(words.terms) == set(words_of("one two three").terms)
    assert words.total == 4


@pytest.mark.parametrize("text", ["", " \n\t", "!?…", "___", "''", "\ud800", "\u0000"])
def test_a_text_without_words_has_none(text: str) -> None:
    assert words_of(text).terms == ()
    assert words_of(text).total == 0


def test_a_term_is_the_same_in_every_process() -> None:
    assert words_of("hello").terms == (HELLO,)


#: Stored with events: another number would lose them.
HELLO = -6361636117772159875


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "a'" * 100_000,
        "\u0301\u0316" * 100_000,
        "e" + "\u0301\u0316" * 100_000,
        "_'" * 100_000,
        "\ufdfa" * 100_000,
        "東" * 100_000,
    ],
    ids=["letters", "apostrophes", "marks", "marked letter", "joiners", "expanding", "unspaced"],
)
def test_no_text_takes_the_square_of_its_length(text: str) -> None:
    # It would run into the time limit of the tests.
    assert words_of(text).total <= len(text)


def test_ascii_text_is_read_like_any_other() -> None:
    text = "It's a dog's life, 'quoted' snake_case x-ray  3.14 e'' '' _ A'B'C \t" + "long" * 40

    alone, beside = words_of(text), words_of(f"{text} ü")

    [umlaut] = words_of("ü").terms
    assert {term: count for term, count in zip(beside.terms, beside.counts, strict=True) if term != umlaut} == dict(
        zip(alone.terms, alone.counts, strict=True)
    )
