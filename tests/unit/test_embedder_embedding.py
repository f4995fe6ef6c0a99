"""What may be asked of the embedder, and which model answers."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from embedder.domain import Domain, InputKind
from embedder.embedding import MAX_INPUT_BYTES, MAX_INPUTS, EmbedCommand, Embedding
from embedder.models.catalogue import ModelProfile
from embedder.models.errors import ModelUnusableError
from embedder.models.model import Loaded
from embedder.models.registry import Models
from servicekit.errors import InvalidArgumentError
from tests.fixtures_embedder import PATIENCE, Records, ScriptedEngine, loaded, mock_models, model_of, models_of, runtime


@pytest_asyncio.fixture
async def models() -> AsyncIterator[Models]:
    made = mock_models(profiles={Domain.TEXT: ModelProfile(shortest=16)})
    yield made
    made.close()


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def embedding(models: Models, records: Records) -> Embedding:
    return Embedding(models, records)


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ([], "inputs"),
        (["a"] * (MAX_INPUTS + 1), "inputs"),
        (["a", "", "b"], "inputs[1]"),
        (["a", "b", "c", " \t\n\u3000"], "inputs[3]"),
        (["a" * (MAX_INPUT_BYTES + 1)], "inputs[0]"),
        (["a", "é" * (MAX_INPUT_BYTES // 2 + 1)], "inputs[1]"),
    ],
    ids=["none", "too many", "empty", "blank", "too long", "too long in bytes"],
)
async def test_inputs_that_cannot_be_embedded_are_named_and_reach_no_model(
    embedding: Embedding, models: Models, inputs: list[str], field: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        await embedding.embed(EmbedCommand(inputs))
    assert [violation.field for violation in caught.value.violations] == [field]
    assert models[Domain.TEXT].encoder is None


@pytest.mark.parametrize("inputs", [["a"] * MAX_INPUTS, ["a" * MAX_INPUT_BYTES], ["é" * (MAX_INPUT_BYTES // 2)]])
async def test_the_limits_themselves_are_allowed(embedding: Embedding, inputs: list[str]) -> None:
    result = await embedding.embed(EmbedCommand(inputs))
    assert len(result.encoded[Domain.TEXT].vectors) == len(inputs)


@pytest.mark.parametrize(
    ("domain", "answering"),
    [
        (Domain.TEXT, [Domain.TEXT]),
        (Domain.CODE, [Domain.CODE]),
        (Domain.HYBRID, [Domain.TEXT, Domain.CODE]),
    ],
)
async def test_the_domain_decides_which_models_answer(
    embedding: Embedding, records: Records, domain: Domain, answering: list[Domain]
) -> None:
    result = await embedding.embed(EmbedCommand(["def f(): pass", "two words"], domain))
    assert list(result.encoded) == answering
    assert [model.domain for model in result.models] == answering
    assert sorted(records.calls) == sorted((domain, 2, 6) for domain in answering)


async def test_hybrid_gives_the_same_vectors_as_each_domain_alone(embedding: Embedding) -> None:
    both = await embedding.embed(EmbedCommand(["hello"], Domain.HYBRID))
    for domain in (Domain.TEXT, Domain.CODE):
        alone = await embedding.embed(EmbedCommand(["hello"], domain))
        np.testing.assert_array_equal(both.encoded[domain].vectors, alone.encoded[domain].vectors)


async def test_hybrid_asks_both_models_at_once(records: Records) -> None:
    """They share a device, so the second runs after the first; but it waits there already."""
    text, code, shared = ScriptedEngine(), ScriptedEngine(), runtime()
    text.go.clear()
    models = models_of(model_of(lambda: loaded(text), shared=shared), model_of(lambda: loaded(code), shared=shared))
    asking = asyncio.create_task(Embedding(models, records).embed(EmbedCommand(["a"], Domain.HYBRID)))
    assert await asyncio.to_thread(text.busy.wait, PATIENCE)
    async with asyncio.timeout(PATIENCE):
        while not ((encoder := models[Domain.CODE].encoder) and encoder.batcher.waiting_tokens):
            await asyncio.sleep(0.001)
    assert not code.busy.is_set()
    text.go.set()
    await asking
    models.close()


async def test_hybrid_with_one_model_for_both_domains_runs_it_once(records: Records) -> None:
    engine = ScriptedEngine()
    model = model_of(lambda: loaded(engine))
    result = await Embedding(models_of(model, model), records).embed(EmbedCommand(["a"], Domain.HYBRID))
    assert engine.texts == [["a"]]
    assert list(result.encoded) == [Domain.TEXT, Domain.CODE]
    assert records.calls == [(Domain.TEXT, 1, 1)]
    model.close()


async def test_hybrid_reports_the_larger_count_and_any_truncation(records: Records) -> None:
    text = model_of(lambda: loaded(ScriptedEngine(max_tokens=8)))
    code = model_of(lambda: loaded(ScriptedEngine(max_tokens=2), ModelProfile(dict.fromkeys(InputKind, "x x "))))
    models = models_of(text, code)
    result = await Embedding(models, records).embed(EmbedCommand(["a"], Domain.HYBRID))
    assert (result.token_count(0), result.truncated(0)) == (3, True)
    models.close()


async def test_hybrid_fails_as_a_whole_when_one_model_does(records: Records) -> None:
    def broken() -> Loaded:
        raise ModelUnusableError("no such model")

    models = models_of(model_of(lambda: loaded(ScriptedEngine())), model_of(broken))
    with pytest.raises(ModelUnusableError, match="no such model"):
        await Embedding(models, records).embed(EmbedCommand(["a"], Domain.HYBRID))
    models.close()


async def test_a_shortened_vector_has_its_length_and_its_own_fingerprint(embedding: Embedding) -> None:
    full = await embedding.embed(EmbedCommand(["hello"]))
    short = await embedding.embed(EmbedCommand(["hello"], dimensions=16))
    named = await embedding.embed(EmbedCommand(["hello"], dimensions=64))
    assert short.encoded[Domain.TEXT].vectors.shape == (1, 16)
    assert short.models[0].dimension == 16
    assert short.models[0].fingerprint != full.models[0].fingerprint
    np.testing.assert_array_equal(full.encoded[Domain.TEXT].vectors, named.encoded[Domain.TEXT].vectors)
    assert named.models == full.models


@pytest.mark.parametrize(
    ("domain", "dimensions", "offer"),
    [
        (Domain.TEXT, 15, "16 to 64"),
        (Domain.TEXT, 65, "16 to 64"),
        (Domain.CODE, 16, "only 64"),
        (Domain.HYBRID, 16, "the CODE model offers only 64"),
        (Domain.TEXT, 2**32 - 1, "16 to 64"),
    ],
)
async def test_dimensions_that_a_model_cannot_give_are_refused_with_those_it_can(
    embedding: Embedding, domain: Domain, dimensions: int, offer: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"dimensions: .*{offer}"):
        await embedding.embed(EmbedCommand(["hello"], domain, dimensions=dimensions))


async def test_truncation_is_told_or_refused_as_asked(embedding: Embedding) -> None:
    long = "word " * 600
    told = await embedding.embed(EmbedCommand(["short", long]))
    assert [told.truncated(index) for index in range(2)] == [False, True]
    assert told.token_count(1) == 600
    with pytest.raises(InvalidArgumentError, match=r"inputs\[1\]: has 600 tokens"):
        await embedding.embed(EmbedCommand(["short", long], reject_truncation=True))
