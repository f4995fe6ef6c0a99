"""BM25, against numbers worked out by hand."""

import math

import pytest

from store.bm25 import weights


def test_the_rarest_word_comes_first_and_weighs_most() -> None:
    weighed = weights({1: 90, 2: 1, 3: 10}, documents=100, length=1000)

    assert list(weighed.terms) == [2, 3, 1]
    assert list(weighed.idf) == sorted(weighed.idf, reverse=True)
    assert weighed.idf[1] == pytest.approx(math.log(1 + 90.5 / 10.5))
    assert all(idf > 0 for idf in weighed.idf)


def test_an_event_of_average_length_with_a_word_once_scores_its_inverse_frequency() -> None:
    weighed = weights({7: 3}, documents=10, length=50)

    # 1 * 2.2 / (1 + 1.2)
    assert weighed.score({7: 1}, 5) == pytest.approx(math.log(1 + 7.5 / 3.5))
    assert weighed.score({7: 2}, 5) == pytest.approx(math.log(1 + 7.5 / 3.5) * 2 * 2.2 / 3.2)
    assert weighed.score({8: 2}, 5) == 0


def test_a_long_event_scores_less() -> None:
    weighed = weights({7: 3}, documents=10, length=50)

    assert weighed.score({7: 1}, 50) < weighed.score({7: 1}, 5) < weighed.score({7: 1}, 1)


def test_no_score_exceeds_the_most() -> None:
    weighed = weights({7: 3, 8: 1, 9: 0}, documents=10, length=50)

    full = weighed.score({7: 10**9, 8: 10**9}, 1)
    assert full < weighed.most
    # The word that no event has is missing.
    assert weighed.most - full == pytest.approx(math.log(1 + 10.5 / 0.5) * 2.2, rel=1e-6)


def test_the_rarest_words_go_first_until_the_budget_is_spent() -> None:
    weighed = weights({1: 50, 2: 5, 3: 20}, documents=100, length=1000)

    assert weighed.beyond(75) == ([2, 3, 1], 0.0)
    rare, unseen = weighed.beyond(74)
    assert list(rare) == [2, 3]
    assert unseen == pytest.approx(weighed.idf[2] * 2.2)
    assert list(weighed.beyond(1)[0]) == [2]


def test_nothing_stored_weighs_nothing() -> None:
    weighed = weights({1: 0}, documents=0, length=0)

    assert not weighed.terms
    assert weighed.score({1: 1}, 1) == 0


def test_counts_that_are_behind_each_other_do_no_harm() -> None:
    weighed = weights({1: 12, 2: -1}, documents=10, length=50)

    assert list(weighed.terms) == [1]
    assert weighed.idf[0] > 0
