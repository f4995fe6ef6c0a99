"""The measures of search_quality.py, and that its collections are what they say."""

import math

import pytest

from benchmarks.search_quality import Collection, claims, collections, quality
from benchmarks.support import conversations, docstrings


def test_the_best_order_has_the_best_quality() -> None:
    assert quality(["a", "b", "c"], frozenset("ab")) == {"ndcg": 1, "mrr": 1, "recall": 1}


def test_a_late_answer_is_worth_less() -> None:
    measured = quality(["x", "a", "y", "b"], frozenset("ab"))

    best = 1 + 1 / math.log2(3)
    assert measured["ndcg"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / best)
    assert measured["mrr"] == 0.5
    assert measured["recall"] == 1


def test_what_comes_after_ten_counts_as_not_found() -> None:
    assert quality([*"0123456789", "a"], frozenset("a")) == {"ndcg": 0, "mrr": 0, "recall": 0}


def test_every_question_has_an_answer_in_its_collection() -> None:
    measured: list[Collection] = collections()

    assert [one.name for one in measured] == ["reference", "conversation"]
    for one in measured:
        assert len(one.texts) > 500
        assert len(one.questions) > 200
        for text, answers in one.questions:
            assert text.strip()
            assert answers
            assert answers <= one.texts.keys()


def test_no_text_of_the_reference_has_its_own_summary() -> None:
    assert [one.key for one in docstrings.entries() if one.summary in one.text] == []


def test_a_conversation_is_the_same_every_time() -> None:
    assert conversations.turns() == conversations.turns()
    keys = [one.key for one in conversations.turns()]
    assert len(keys) == len(set(keys))


def test_hybrid_is_compared_with_its_better_part() -> None:
    rows = [
        {"collection": "c", "mode": mode, "ndcg": value}
        for mode, value in (("VECTOR", 0.5), ("LEXICAL", 0.4), ("HYBRID", 0.45))
    ]

    [claim] = claims(rows)

    assert claim.value == pytest.approx(0.9)
    assert not claim.kept
