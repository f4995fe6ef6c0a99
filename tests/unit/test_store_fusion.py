"""How candidates of two kinds become one order."""

from uuid import UUID, uuid4

import pytest

from store.repositories.search import Candidate, Candidates, Recency
from store.use_cases.fusion import MEANING, SearchMode, rank

NOW = 1_777_593_600.0


def candidate(similarity: float | None, lexical: float = 0.0, *, days: float = 0) -> Candidate:
    """One of some age."""
    return Candidate(uuid4(), NOW - days * 86_400, similarity, lexical)


def order(candidates: Candidates, mode: SearchMode, **options: object) -> list[UUID]:
    """Ids in the order of the hits."""
    return [one.id for one in rank(candidates, mode, **options).hits]  # type: ignore[arg-type]


def test_a_search_by_vector_scores_by_the_cosine() -> None:
    near, far = candidate(0.5), candidate(-1.0)

    hits = rank(Candidates([far, near]), SearchMode.VECTOR).hits

    assert [(one.id, one.score, one.similarity) for one in hits] == [(near.id, 0.75, 0.5), (far.id, 0.0, -1.0)]


def test_where_a_limit_may_hide_nearer_events_any_of_them_may_be_as_good_as_equal() -> None:
    found = [candidate(0.5)]

    assert rank(Candidates(found), SearchMode.VECTOR).unseen == 0.0
    assert rank(Candidates(found, may_miss_nearest=True), SearchMode.VECTOR).unseen == 1.0
    assert rank(Candidates(found, may_miss_nearest=True), SearchMode.HYBRID).unseen >= MEANING


def test_a_search_by_words_scores_by_the_share_of_the_best_possible() -> None:
    some, best = candidate(None, 2.0), candidate(None, 6.0)

    hits = rank(Candidates([some, best], best_lexical_score=8.0), SearchMode.LEXICAL).hits

    assert [(one.id, one.score, one.lexical_score) for one in hits] == [(best.id, 0.75, 6.0), (some.id, 0.25, 2.0)]
    assert {one.similarity for one in hits} == {0.0}


def test_a_hybrid_score_is_a_mean_of_both() -> None:
    nearest, both, farthest = candidate(0.9), candidate(0.5, 3.0), candidate(0.1)

    hits = {
        one.id: one.score
        for one in rank(Candidates([nearest, both, farthest], best_lexical_score=4.0), SearchMode.HYBRID).hits
    }

    assert hits[nearest.id] == pytest.approx(MEANING)
    assert hits[both.id] == pytest.approx(MEANING * 0.5 + (1 - MEANING) * 0.75)
    assert hits[farthest.id] == pytest.approx(0.0)


def test_a_hybrid_order_does_not_depend_on_the_scale_of_the_cosines() -> None:
    pairs = [(0.8, 0.0), (0.6, 1.0), (0.55, 0.2), (0.3, 2.0), (0.1, 0.0)]
    one = [candidate(similarity, lexical) for similarity, lexical in pairs]
    other = [Candidate(each.id, each.time, 0.5 + 0.4 * (each.similarity or 0), each.lexical_score) for each in one]

    assert order(Candidates(one, 4.0), SearchMode.HYBRID) == order(Candidates(other, 4.0), SearchMode.HYBRID)


def test_similarities_that_hardly_differ_leave_the_order_to_the_words() -> None:
    nearest, worded = candidate(0.52), candidate(0.51, 1.0)

    assert order(Candidates([nearest, worded], 4.0), SearchMode.HYBRID) == [worded.id, nearest.id]


def test_an_event_without_a_vector_keeps_a_place_by_its_words() -> None:
    neighbours = [candidate(0.5 - 0.001 * number) for number in range(300)]
    worded = candidate(0.4, 1.0)
    pending = candidate(None, 3.5)

    found = order(Candidates([*neighbours, worded, pending], 4.0), SearchMode.HYBRID)

    assert found[0] == pending.id
    assert len(found) == 302


def test_events_without_any_vector_are_ordered_by_their_words() -> None:
    less, more = candidate(None, 1.0), candidate(None, 2.0)

    assert order(Candidates([less, more], 4.0), SearchMode.HYBRID) == [more.id, less.id]


def test_a_least_similarity_leaves_out_what_has_none() -> None:
    near, far, pending = candidate(0.5), candidate(0.4, 4.0), candidate(None, 4.0)

    assert order(Candidates([near, far, pending], 4.0), SearchMode.HYBRID, least=0.45) == [near.id]


def test_a_half_life_halves_the_score() -> None:
    old, new = candidate(0.8, days=10), candidate(0.8)

    hits = rank(Candidates([old, new]), SearchMode.VECTOR, recency=Recency(NOW, 10 * 86400)).hits

    assert [one.id for one in hits] == [new.id, old.id]
    assert hits[1].score == pytest.approx(hits[0].score / 2)


def test_what_lies_ahead_is_as_good_as_new() -> None:
    ahead = candidate(1.0, days=-1000)

    assert rank(Candidates([ahead]), SearchMode.VECTOR, recency=Recency(NOW, 1)).hits[0].score == 1


def test_scores_too_small_for_a_float_still_have_an_order() -> None:
    oldest, old = candidate(1.0, days=400_000), candidate(0.1, days=300_000)

    hits = rank(Candidates([oldest, old]), SearchMode.VECTOR, recency=Recency(NOW, 1e-9)).hits

    assert [one.id for one in hits] == [old.id, oldest.id]
    assert {one.score for one in hits} == {0.0}


def test_all_was_looked_at_unless_the_scan_was_cut() -> None:
    found = [candidate(0.5, 1.0)]

    assert rank(Candidates(found, 4.0, unseen_similarity=0.2), SearchMode.HYBRID).unseen == 0
    assert rank(Candidates(found, 4.0, 2.0), SearchMode.LEXICAL).unseen == 0.5
    assert rank(Candidates(found, 4.0, 2.0), SearchMode.HYBRID).unseen == pytest.approx((1 - MEANING) / 2)


def test_with_a_half_life_a_new_event_may_have_been_cut_off() -> None:
    ranking = rank(Candidates([candidate(0.5)], unseen_similarity=0.2), SearchMode.VECTOR, recency=Recency(NOW, 86400))

    assert ranking.unseen == pytest.approx(0.6)
