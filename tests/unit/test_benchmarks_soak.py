"""What the soak takes for a right answer, and what it does not let pass."""

import numpy as np
import pytest

from benchmarks.support.references import Question, References, Vector, WrongAnswerError
from benchmarks.support.soak_calls import Tally
from benchmarks.support.texts import Texts, requests_of
from trimem.embedding.v1 import embedding_pb2 as pb

CAT = Question("a cat", pb.DOMAIN_TEXT)


def embedding(text: list[float] | None = None, code: list[float] | None = None) -> pb.Embedding:
    answer = pb.Embedding()
    answer.text.values.extend(text or [])
    answer.code.values.extend(code or [])
    return answer


def references() -> References:
    """One text with vectors of both models."""
    kind = pb.INPUT_KIND_DOCUMENT
    return References(
        {("a cat", "text", kind, 0): np.array([1.0, 0.0]), ("a cat", "code", kind, 0): np.array([0.0, 1.0])}
    )


def test_an_answer_like_its_reference_is_right() -> None:
    known = references()
    assert known.check(CAT, embedding([0.9999, 0.0141]))
    assert known.checked == 1
    assert 0.999 <= known.worst < 1


def test_the_vector_of_another_text_is_noticed() -> None:
    with pytest.raises(WrongAnswerError, match=r"'a cat'.*cosine 0\.0"):
        references().check(CAT, embedding([0.0, 1.0]))


def test_the_vector_of_the_other_model_is_noticed() -> None:
    both = Question("a cat", pb.DOMAIN_HYBRID)
    assert references().check(both, embedding([1.0, 0.0], [0.0, 1.0]))
    with pytest.raises(WrongAnswerError, match="code vector"):
        references().check(both, embedding([1.0, 0.0], [1.0, 0.0]))


@pytest.mark.parametrize(
    "wrong",
    [
        embedding(),
        embedding([0.0, 0.0]),
        embedding([float("nan"), 1.0]),
        embedding([2.0, 0.0]),
        embedding([1.0, 0.0, 0.0]),
        embedding([1.0, 0.0], [0.0, 1.0]),
    ],
    ids=["missing", "zero", "nan", "long", "of another dimension", "one too many"],
)
def test_a_malformed_answer_is_noticed(wrong: pb.Embedding) -> None:
    with pytest.raises(WrongAnswerError):
        references().check(CAT, wrong)


def test_a_new_text_is_checked_for_its_form_and_kept_for_later() -> None:
    new = Question("a new text", pb.DOMAIN_TEXT)
    assert not references().check(new, embedding([0.6, 0.8]))
    with pytest.raises(WrongAnswerError):
        references().check(new, embedding([6.0, 8.0]))


def test_texts_that_a_model_tells_hardly_apart_are_refused() -> None:
    kind = pb.INPUT_KIND_DOCUMENT
    apart: dict[tuple[str, str, int, int], Vector] = {
        ("one", "text", kind, 0): np.array([1.0, 0.0]),
        ("two", "text", kind, 0): np.array([0.0, 1.0]),
    }
    References({**apart}).require_distinct()
    alike = {**apart, ("three", "text", kind, 0): np.array([0.0, 1.0])}
    with pytest.raises(WrongAnswerError, match="hardly apart"):
        References(alike).require_distinct()


def test_a_sample_of_new_texts_stays_bounded_and_keeps_taking_from_all() -> None:
    tally = Tally()
    for number in range(3_000):
        tally.keep(Question(str(number)), embedding([1.0]))
    assert len(tally.fresh) == 300
    assert any(int(question.text) >= 300 for question, _ in tally.fresh)


def test_random_texts_have_the_length_asked_for_and_never_repeat() -> None:
    texts = Texts(["alpha", "beta", "gamma"], seed=1)
    made = [texts.of_length(4) for _ in range(9)]  # all pairs of three words
    assert {len(text.text.split()) + 2 for text in made} == {4}
    assert len({text.text for text in made}) == 9


def test_texts_too_short_to_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="4 tokens or more"):
        Texts(["alpha"], seed=1).of_length(3)


def test_a_bulk_has_lengths_from_4_to_512_in_no_order() -> None:
    lengths = [text.tokens for text in Texts([f"word{number}" for number in range(500)], seed=1).mixed(50)]
    assert (min(lengths), max(lengths)) == (4, 512)
    assert lengths != sorted(lengths)


def test_requests_have_the_size_asked_for_but_for_the_last() -> None:
    texts = Texts([f"word{number}" for number in range(50)], seed=1).short(10)
    assert [len(request) for request in requests_of(texts, 4)] == [4, 4, 2]
    assert [text for request in requests_of(texts, 4) for text in request] == texts
