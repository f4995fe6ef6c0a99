"""How the backfill finds out whose fault it is: that of one text, or that of the embedder."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from servicekit import context
from servicekit.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    ResourceExhaustedError,
    TrimemError,
    UnavailableError,
)
from servicekit.jitter import jittered
from store.errors import EmbedderFailedError, TextsRefusedError
from store.events import EmbeddingState, Event, EventFilter
from store.repositories.memory import MemoryData, MemoryEvents
from store.repositories.memory_outbox import MemoryOutbox
from store.use_cases import backfill as module
from store.use_cases.backfill import Backfill, BatchOutcome
from store.use_cases.embedder import EmbeddedTexts, InputKind
from store.use_cases.embedding import TextEmbedding
from tests.fixtures_store import DIMENSION, SPACE, new_event, pending_event, text_vector

PENDING, FAILED, EMBEDDED = EmbeddingState.PENDING, EmbeddingState.FAILED, EmbeddingState.EMBEDDED


@dataclass
class ScriptedEmbedder:
    """An embedder that fails as it is told."""

    #: What it raises for a call, if anything.
    trouble: Callable[[Sequence[str]], TrimemError | None] = lambda _texts: None
    calls: list[list[str]] = field(default_factory=list)
    time_given: list[float] = field(default_factory=list)

    async def embed(self, texts: Sequence[str], _kind: InputKind) -> EmbeddedTexts:
        """See Embedder."""
        self.calls.append(list(texts))
        self.time_given.append(context.remaining() or 0)
        if error := self.trouble(texts):
            raise error
        return EmbeddedTexts([text_vector(text) for text in texts], SPACE)

    def fail_with(self, *texts: str, error: TrimemError | None = None) -> None:
        """Fail every call that has one of these texts."""
        self.trouble = lambda call: (error or EmbedderFailedError("it failed")) if set(texts) & set(call) else None


@dataclass
class Heard:
    """An observer that remembers."""

    batches: list[BatchOutcome] = field(default_factory=list)
    states: list[EmbeddingState] = field(default_factory=list)
    attempts: int = 0

    def batch(self, outcome: BatchOutcome) -> None:
        """See Observer."""
        self.batches.append(outcome)

    def settled(self, state: EmbeddingState) -> None:
        """See Observer."""
        self.states.append(state)

    def attempt_failed(self) -> None:
        """See Observer."""
        self.attempts += 1


class Rig:
    """A backfill over fakes."""

    def __init__(self, max_attempts: int = 5) -> None:
        self.data = MemoryData()
        self.outbox = MemoryOutbox(self.data)
        self.embedder = ScriptedEmbedder()
        self.heard = Heard()
        self.backfill = Backfill(
            self.outbox,
            TextEmbedding(self.embedder, DIMENSION),
            self.heard,
            interval=1,
            max_attempts=max_attempts,
        )

    async def store(self, *texts: str) -> None:
        """Store pending events, the first one oldest."""
        start = datetime(2026, 1, 1, tzinfo=UTC)
        events = [pending_event(text, timestamp=start + timedelta(hours=hour)) for hour, text in enumerate(texts)]
        await MemoryEvents(self.data).create(events, None)

    async def event(self, text: str) -> Event:
        """The event of a text."""
        return next(one for one in self.data.stored.values() if one.content["text"] == text)

    def let_try_again(self) -> None:
        """The time has come for all that was put off."""
        self.outbox.retry_times.clear()

    async def until_settled(self, most: int = 200) -> list[int]:
        """Sizes of the calls until nothing is left that may be tried."""
        for _ in range(most):
            try:
                if not await self.backfill.run_once():
                    return [len(call) for call in self.embedder.calls]
            except EmbedderFailedError:
                pass
        raise AssertionError("no end")


@pytest.fixture
def rig() -> Rig:
    """A backfill that parks after 5 attempts."""
    return Rig()


async def test_a_text_that_fails_is_found_by_halving_and_the_others_are_embedded(rig: Rig) -> None:
    texts = [f"text {number}" for number in range(64)]
    await rig.store(*texts)
    rig.embedder.fail_with("text 5")

    sizes = await rig.until_settled()

    assert sizes[:5] == [64, 32, 16, 8, 4]
    states = [(await rig.event(text)).embedding_state for text in texts]
    assert states == [PENDING if text == "text 5" else EMBEDDED for text in texts]
    poison = await rig.event("text 5")
    assert (poison.embedding_attempts, poison.embedding_error) == (1, "it failed")
    assert rig.heard.attempts == 1
    assert rig.heard.states == [EMBEDDED] * 63


async def test_calls_grow_again_once_it_is_found(rig: Rig) -> None:
    await rig.store(*(f"text {number}" for number in range(200)))
    rig.embedder.fail_with("text 0")

    sizes = await rig.until_settled()

    found = sizes.index(1)
    assert sizes[: found + 2] == [64, 32, 16, 8, 4, 2, 1, 1]  # the last one asks whether it embeds others
    assert sizes[found + 2 : found + 6] == [9, 17, 25, 33]


async def test_a_text_is_parked_with_its_reason_after_the_last_attempt(rig: Rig) -> None:
    await rig.store("odd")
    rig.embedder.fail_with("odd")
    seen = []
    for _ in range(5):
        assert await rig.backfill.run_once() == 1
        odd = await rig.event("odd")
        seen.append((odd.embedding_state, odd.embedding_attempts))
        rig.let_try_again()

    assert seen == [(PENDING, 1), (PENDING, 2), (PENDING, 3), (PENDING, 4), (FAILED, 5)]
    assert (await rig.event("odd")).embedding_error == "it failed"
    assert await rig.backfill.run_once() == 0
    assert rig.heard.states == [FAILED]


async def test_the_time_to_the_next_attempt_doubles_up_to_an_hour_with_jitter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig(max_attempts=20)
    await rig.store("odd")
    rig.embedder.fail_with("odd")
    monkeypatch.setattr(module, "jittered", lambda seconds: seconds)
    waits = []
    for _ in range(9):
        await rig.backfill.run_once()
        [due] = rig.outbox.retry_times.values()
        waits.append(round((due - datetime.now(UTC)).total_seconds()))
        assert await rig.backfill.run_once() == 0  # not before its time
        rig.let_try_again()

    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    monkeypatch.undo()
    assert {0.5 <= jittered(1) <= 1 for _ in range(100)} == {True}
    assert len({jittered(1) for _ in range(10)}) > 1


async def test_a_refused_text_is_parked_at_once(rig: Rig) -> None:
    await rig.store("fine", "odd")
    rig.embedder.trouble = lambda call: (
        TextsRefusedError(frozenset({call.index("odd")}), "is odd") if "odd" in call else None
    )

    assert await rig.backfill.run_once() == 2

    odd = await rig.event("odd")
    assert (odd.embedding_state, odd.embedding_attempts) == (FAILED, 1)
    assert odd.embedding_error == "the embedder refuses the text: is odd"
    assert (await rig.event("fine")).embedding_state is EMBEDDED


@pytest.mark.parametrize(
    "trouble",
    [
        UnavailableError("down"),
        ResourceExhaustedError("busy"),
        DeadlineExceededError("slow"),
        EmbedderFailedError("broken"),
    ],
    ids=lambda one: type(one).__name__,
)
async def test_an_embedder_that_is_down_costs_no_event_an_attempt(rig: Rig, trouble: TrimemError) -> None:
    await rig.store("one", "two", "three")
    rig.embedder.trouble = lambda _call: trouble

    for _ in range(30):
        with pytest.raises(type(trouble)):
            await rig.backfill.run_once()
        rig.let_try_again()

    for text in ("one", "two", "three"):
        event = await rig.event(text)
        assert (event.embedding_state, event.embedding_attempts) == (PENDING, 0)
    assert rig.heard.attempts == 0
    rig.embedder.trouble = lambda _call: None
    await rig.until_settled()
    assert rig.heard.states == [EMBEDDED] * 3


async def test_a_text_that_crashes_the_embedder_is_to_blame_when_others_pass(rig: Rig) -> None:
    await rig.store("odd")
    rig.embedder.fail_with("odd", error=UnavailableError("connection lost"))

    assert await rig.backfill.run_once() == 1

    assert (await rig.event("odd")).embedding_attempts == 1


async def test_a_text_that_meets_a_busy_embedder_is_not_to_blame(rig: Rig) -> None:
    await rig.store("fine")
    rig.embedder.fail_with("fine", error=ResourceExhaustedError("busy"))

    with pytest.raises(ResourceExhaustedError):
        await rig.backfill.run_once()

    assert (await rig.event("fine")).embedding_attempts == 0


async def test_a_text_that_takes_too_long_lets_others_go_first(rig: Rig) -> None:
    await rig.store("long", "short")
    # While it is at the long text, it does nothing else: two calls that fail, the second one with the long text alone.
    rig.embedder.trouble = lambda _call: DeadlineExceededError("slow")
    for _ in range(2):
        with pytest.raises(DeadlineExceededError):
            await rig.backfill.run_once()

    rig.embedder.trouble = lambda _call: None
    assert await rig.backfill.run_once() == 1

    assert (await rig.event("short")).embedding_state is EMBEDDED
    assert ((await rig.event("long")).embedding_state, (await rig.event("long")).embedding_attempts) == (PENDING, 0)


async def test_a_text_that_the_embedder_may_have_in_its_cache_proves_nothing(rig: Rig) -> None:
    await rig.store("odd")
    rig.embedder.fail_with("odd")

    await rig.backfill.run_once()
    rig.let_try_again()
    await rig.backfill.run_once()

    first, second = (call for call in rig.embedder.calls if call != ["odd"])
    assert first != second


async def test_the_time_of_a_call_is_bounded_because_its_events_are_held(rig: Rig) -> None:
    await rig.store("one")

    await rig.backfill.run_once()

    assert 0 < rig.embedder.time_given[0] <= 30
    assert context.remaining() is None


async def test_events_without_text_are_skipped_without_the_embedder(rig: Rig) -> None:
    await MemoryEvents(rig.data).create([pending_event(content={"n": 1})], None)

    assert await rig.backfill.run_once() == 1

    assert rig.heard.states == [EmbeddingState.SKIPPED]
    assert rig.embedder.calls == []


async def test_an_embedder_of_another_model_settles_nothing(rig: Rig) -> None:
    await MemoryEvents(rig.data).create([new_event("old")], SPACE)
    await rig.store("late")
    rig.embedder.trouble = lambda _call: FailedPreconditionError("another model")

    with pytest.raises(FailedPreconditionError):
        await rig.backfill.run_once()

    assert (await rig.event("late")).embedding_state is PENDING


async def test_the_running_backfill_stops_for_a_pause_and_goes_on_after_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.store("one", "two")
    await rig.outbox.pause(True)
    looks = 0

    async def sleep(_seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            assert rig.embedder.calls == []
            await rig.outbox.pause(False)
        if looks == 5:
            raise asyncio.CancelledError

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=sleep))
    with pytest.raises(asyncio.CancelledError):
        await rig.backfill.run()

    assert rig.embedder.calls == [["one", "two"]]
    assert rig.heard.batches == [BatchOutcome.DONE]


async def test_pauses_grow_while_the_embedder_is_down_and_halving_needs_none(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.store(*(f"text {number}" for number in range(4)))
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 9:
            raise asyncio.CancelledError

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(module, "jittered", lambda seconds: seconds)
    rig.embedder.trouble = lambda _call: EmbedderFailedError("broken")
    with pytest.raises(asyncio.CancelledError):
        await rig.backfill.run()

    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert rig.heard.batches == [BatchOutcome.HALVED] * 2 + [BatchOutcome.WAITING] * 9


async def test_a_fault_of_ours_does_not_end_the_work(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.store("one")
    rig.embedder.trouble = lambda _call: (_ for _ in ()).throw(ValueError("a bug"))

    async def sleep(_seconds: float) -> None:
        if rig.heard.batches[-1:] == [BatchOutcome.ERROR]:
            rig.embedder.trouble = lambda _call: None
        else:
            raise asyncio.CancelledError

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=sleep))
    with pytest.raises(asyncio.CancelledError):
        await rig.backfill.run()

    assert rig.heard.batches == [BatchOutcome.ERROR, BatchOutcome.DONE]
    assert len(await MemoryEvents(rig.data).page(EventFilter(embedding_state=EMBEDDED), None, 10)) == 1
