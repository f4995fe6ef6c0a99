"""What the soak takes for a right answer, and what it does not let pass."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio

from benchmarks.soak import _load
from benchmarks.support.references import Question, References, Vector, WrongAnswerError
from benchmarks.support.soak_calls import SoakCalls
from benchmarks.support.soak_tally import Tally
from benchmarks.support.texts import Texts, requests_of
from embedder.domain import Domain
from embedder.models.mock_engine import MockEngine
from embedder.models.model import Model
from embedder.models.registry import Models
from tests.fixtures_embedder import Running, ScriptedEngine, loaded, model_of, serving
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


class Call:
    """A call that has come to something already, whoever cancels it."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def __await__(self) -> Any:
        raise grpc.aio.AioRpcError(self._code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="as told")

    async def __aiter__(self) -> AsyncIterator[pb.EmbedStreamResponse]:
        yield pb.EmbedStreamResponse(id="39")

    def cancel(self) -> None:
        """Too late."""

    async def code(self) -> grpc.StatusCode:
        return self._code

    async def details(self) -> str:
        return "as told"


class Stub:
    """Every call of it comes to the same."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def __getattr__(self, method: str) -> Callable[..., Call]:
        return lambda request, timeout: Call(self._code)


POOL = ["one text", "another text of the pool", "a third one that is a little longer than the others"]
GIANT = ("a giant is made of many words " * 40_000)[: 1024 * 1024]


def space(name: str) -> str:
    """The content of a model: what is after the sign is not part of it."""
    return name.partition("#")[0]


class Swaps:
    """Makes mock models; the name of the next one can be set, and what they were asked to be is kept."""

    def __init__(self) -> None:
        self.name = ""
        self.precisions: list[str] = []

    def __call__(self, domain: Domain, *, name: str, engine: str, precision: str) -> Model:
        self.precisions.append(precision)
        return mock_model(self.name or name)


def mock_model(name: str) -> Model:
    engine = MockEngine(space(name), 64)
    return model_of(lambda: loaded(engine, content=engine.content), name, dimension=64)


def models(swaps: Swaps) -> Models:
    return Models({Domain.TEXT: mock_model("owner/text"), Domain.CODE: mock_model("owner/code")}, swaps)


@pytest.fixture
def swaps() -> Swaps:
    return Swaps()


@pytest_asyncio.fixture
async def running(swaps: Swaps) -> AsyncIterator[Running]:
    async with serving(models(swaps)) as embedder:
        yield embedder


@pytest_asyncio.fixture(scope="module")
async def learned() -> References:
    """What an embedder alone says. Learned once, because a MiB of text takes its time."""
    known = References()
    async with serving(models(Swaps())) as embedder:
        await known.learn(embedder.stub, [*POOL, GIANT], [0])
    return known


@pytest.fixture
def calls(running: Running, learned: References) -> SoakCalls:
    texts = Texts([f"word{number}" for number in range(500)], seed=1)
    known = References({**learned.known}, {**learned.counts})
    return SoakCalls(running.channel, known, pool=POOL, giant=GIANT, texts=texts, lengths=[0])


async def test_an_embedder_that_is_well_breaks_no_rule(calls: SoakCalls) -> None:
    for name, (_, call) in list(calls.kinds.items()):
        for _ in range(3):
            await calls.noted(name, call)
    await calls.noted("swap", calls.swap)
    calls.tally.judge_refusals()
    assert calls.tally.violations == []
    assert {name for name, _ in calls.tally.outcomes} == {*calls.kinds, "swap"}
    assert calls.tally.asked > 0


async def test_the_load_exchanges_the_model_at_once_and_judges_refusals_at_the_end(calls: SoakCalls) -> None:
    @dataclass
    class Process:
        alive: bool = True

    calls.tally.asked = calls.tally.refused = 1_000_000
    calls.kinds = {"good": calls.kinds["good"]}
    await _load(calls, Process(), seconds=0.2, workers=2)  # type: ignore[arg-type]
    assert calls.tally.outcomes["swap", "OK"] >= 1
    assert calls.tally.outcomes["good", "OK"] >= 2
    (violation,) = calls.tally.violations
    assert "RESOURCE_EXHAUSTED" in violation


async def test_one_makes_a_call_of_some_kind_and_writes_it_down(calls: SoakCalls) -> None:
    calls.kinds = {"good": calls.kinds["good"]}
    await calls.one()
    assert calls.tally.outcomes == {("good", "OK"): 1}


@pytest.mark.parametrize("name", ["cancelled", "abandoned_stream"])
@pytest.mark.parametrize(
    ("code", "violations"),
    [
        (grpc.StatusCode.OK, 0),
        (grpc.StatusCode.CANCELLED, 0),
        (grpc.StatusCode.INTERNAL, 1),
        (grpc.StatusCode.UNAVAILABLE, 1),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 1),
    ],
)
async def test_a_client_that_leaves_is_told_nothing_or_that_it_left(
    calls: SoakCalls, name: str, code: grpc.StatusCode, violations: int
) -> None:
    calls.stub = Stub(code)  # type: ignore[assignment]
    await calls.noted(name, getattr(calls, name))
    assert len(calls.tally.violations) == violations
    assert all(code.name in violation for violation in calls.tally.violations)


async def test_what_turns_everybody_away_is_not_well(calls: SoakCalls) -> None:
    calls.stub = Stub(grpc.StatusCode.RESOURCE_EXHAUSTED)  # type: ignore[assignment]
    for name in ("good", "count", "duplicates in flight"):
        await calls.noted(name, calls.kinds[name][1])
    assert (calls.tally.asked, calls.tally.refused) == (10, 10)
    assert calls.tally.violations == []  # each for itself is within its rights
    calls.tally.judge_refusals()
    (violation,) = calls.tally.violations
    assert violation.startswith("10 of 10 calls were refused with RESOURCE_EXHAUSTED")


@pytest.mark.parametrize(("asked", "refused", "violations"), [(0, 0, 0), (10, 0, 0), (10, 2, 0), (10, 3, 1)])
def test_a_fifth_of_the_calls_may_be_turned_away(asked: int, refused: int, violations: int) -> None:
    tally = Tally(asked=asked, refused=refused)
    tally.judge_refusals()
    assert len(tally.violations) == violations


async def test_another_failure_of_a_good_call_is_a_violation_and_no_refusal(calls: SoakCalls) -> None:
    calls.stub = Stub(grpc.StatusCode.UNAVAILABLE)  # type: ignore[assignment]
    for name in ("good", "count"):
        await calls.noted(name, calls.kinds[name][1])
    assert (calls.tally.refused, len(calls.tally.violations)) == (0, 2)


@pytest.mark.parametrize("name", ["count", "good"])
async def test_a_wrong_count_of_tokens_is_noticed(calls: SoakCalls, name: str) -> None:
    known = calls._references.counts
    known.update({key: count + 1 for key, count in known.items()})
    for _ in range(20):  # not every good call has a text of the pool
        await calls.noted(name, calls.kinds[name][1])
    assert (name, "WRONG") in calls.tally.outcomes
    assert "tokens instead of" in calls.tally.violations[0]


async def test_counts_of_both_models_are_known_and_the_larger_one_comes_with_both_vectors() -> None:
    def model(words: int) -> Model:
        return model_of(lambda: loaded(ScriptedEngine(max_tokens=words), content=str(words)), str(words))

    async with serving(Models({Domain.TEXT: model(8), Domain.CODE: model(4)}, Swaps())) as embedder:
        known = References()
        await known.learn(embedder.stub, ["a b c"], [0])
    assert known.counts == {
        ("a b c", name, kind): 3 for name in ("text", "code") for kind in (pb.INPUT_KIND_DOCUMENT, pb.INPUT_KIND_QUERY)
    }
    known.counts["a b c", "code", pb.INPUT_KIND_DOCUMENT] = 5
    known.check_count(Question("a b c", pb.DOMAIN_TEXT), 3)
    known.check_count(Question("a b c", pb.DOMAIN_HYBRID), 5)
    with pytest.raises(WrongAnswerError, match="3 tokens instead of 5 in 'a b c'"):
        known.check_count(Question("a b c", pb.DOMAIN_CODE), 3)


async def test_a_swap_asks_for_the_precision_that_there_is_and_vectors_stay_right(
    calls: SoakCalls, running: Running, swaps: Swaps
) -> None:
    assert await calls.noted("swap", calls.swap) == "OK"
    assert swaps.precisions == ["fp32"]
    assert await calls.noted("good", calls.good) == "OK"


@pytest.mark.parametrize("name", ["owner/other", "owner/text#renamed"])
async def test_a_swap_that_changes_the_model_is_noticed(calls: SoakCalls, swaps: Swaps, name: str) -> None:
    swaps.name = name
    await calls.noted("swap", calls.swap)
    assert len(calls.tally.violations) == 1
