"""Vectors of code: calls of the right size, whatever an embedder does."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from servicekit.errors import DeadlineExceededError, ResourceExhaustedError, TrimemError, UnavailableError
from store.code.stored import CodeSpaces, Vectors
from store.errors import EmbedderFailedError, EmbeddingDimensionError
from store.use_cases.embed_code import CodeInputs, EmbedCode
from store.use_cases.embedder import EmbeddedTexts, InputKind
from store.use_cases.embedding import TextEmbedding
from tests.fixtures_store import CODE_SPACE, DIMENSION, SPACE, space_vector

Trouble = Callable[[Sequence[str]], TrimemError | None]


@dataclass
class Scripted:
    """An embedder that fails as it is told."""

    space: object = SPACE
    trouble: Trouble = lambda _texts: None
    sizes: list[int] = field(default_factory=list)

    async def embed(self, texts: Sequence[str], kind: InputKind) -> EmbeddedTexts:
        """See Embedder."""
        assert kind is InputKind.DOCUMENT
        self.sizes.append(len(texts))
        await asyncio.sleep(0)
        if (error := self.trouble(texts)) is not None:
            raise error
        space = CODE_SPACE if self.space is CODE_SPACE else SPACE
        return EmbeddedTexts([space_vector(space, text) for text in texts], space)


def embedding(text: Scripted, code: Scripted, dimension: int = DIMENSION) -> EmbedCode:
    """Both models."""
    return EmbedCode(TextEmbedding(text, dimension), TextEmbedding(code, dimension))


def inputs(count: int) -> list[CodeInputs]:
    """What is read of so many chunks."""
    return [CodeInputs(f"text {n}", f"code {n}") for n in range(count)]


async def test_each_chunk_gets_both_vectors_of_its_own() -> None:
    done = await embedding(Scripted(), Scripted(CODE_SPACE)).run(inputs(150))

    assert done.spaces == CodeSpaces(SPACE, CODE_SPACE)
    for n, outcome in enumerate(done.outcomes):
        assert isinstance(outcome, Vectors)
        assert outcome.text.tolist() == space_vector(SPACE, f"text {n}").tolist()
        assert outcome.code.tolist() == space_vector(CODE_SPACE, f"code {n}").tolist()


async def test_calls_that_take_too_long_get_smaller_and_grow_again() -> None:
    slow = Scripted(CODE_SPACE, lambda texts: DeadlineExceededError("slow") if len(texts) > 20 else None)

    done = await embedding(Scripted(), slow).run(inputs(60))

    assert all(isinstance(one, Vectors) for one in done.outcomes)
    assert slow.sizes == [60, 30, 15, 23, 11, 19, 15]


async def test_an_embedder_that_is_too_slow_for_one_text_stops_it() -> None:
    slow = Scripted(CODE_SPACE, lambda texts: DeadlineExceededError("slow") if "code 3" in texts else None)

    with pytest.raises(DeadlineExceededError):
        await embedding(Scripted(), slow).run(inputs(8))
    assert slow.sizes == [8, 4, 2, 6, 3, 1, 5, 2, 1]  # whether it embeds others would change nothing


async def test_texts_that_make_calls_fail_are_found() -> None:
    bad = {"code 7", "code 8", "code 40"}
    failing = Scripted(CODE_SPACE, lambda texts: EmbedderFailedError("the embedder failed") if bad & {*texts} else None)

    done = await embedding(Scripted(), failing).run(inputs(64))

    assert [n for n, one in enumerate(done.outcomes) if not isinstance(one, Vectors)] == [7, 8, 40]
    assert {one for one in done.outcomes if isinstance(one, str)} == {"the embedder failed"}


async def test_an_embedder_that_fails_with_everything_stops_it() -> None:
    failing = Scripted(CODE_SPACE, lambda _texts: EmbedderFailedError("the embedder failed"))

    with pytest.raises(EmbedderFailedError):
        await embedding(Scripted(), failing).run(inputs(64))
    assert len(failing.sizes) == 8  # 64, 32, ... 1, and a text that it should know


async def test_what_an_embedder_has_in_its_cache_blames_no_text() -> None:
    """One chunk is to blame, and what told so is kept; then the model fails with all that is new to it."""
    known: set[str] = set()
    bad = {"code 1"}

    def trouble(texts: Sequence[str]) -> TrimemError | None:
        if bad & {*texts} or ("code 9" in bad and not known >= {*texts}):
            return EmbedderFailedError("the embedder failed")
        known.update(texts)
        return None

    embed = embedding(Scripted(), Scripted(CODE_SPACE, trouble))
    assert [type(one) for one in (await embed.run(inputs(2))).outcomes] == [Vectors, str]
    bad.add("code 9")

    with pytest.raises(EmbedderFailedError):
        await embed.run([CodeInputs("text 9", "code 9")])


@pytest.mark.parametrize("which", ["text", "code"])
async def test_an_embedder_that_is_down_is_not_asked_again_and_nobody_is_left_waiting(which: str) -> None:
    models = {"text": Scripted(), "code": Scripted(CODE_SPACE)}
    models[which].trouble = lambda _texts: UnavailableError("gone")
    before = asyncio.all_tasks()

    with pytest.raises(UnavailableError):
        await embedding(models["text"], models["code"]).run(inputs(200))

    assert len(models[which].sizes) == 1
    assert asyncio.all_tasks() <= before


async def test_an_embedder_with_too_much_to_do_is_asked_some_times() -> None:
    busy = Scripted(CODE_SPACE, lambda _texts: ResourceExhaustedError("busy", retry_after=0.001))

    with pytest.raises(ResourceExhaustedError):
        await embedding(Scripted(), busy).run(inputs(3))

    assert len(busy.sizes) == 6


async def test_vectors_of_another_length_are_refused() -> None:
    with pytest.raises(EmbeddingDimensionError):
        await embedding(Scripted(), Scripted(CODE_SPACE), DIMENSION + 1).run(inputs(3))
