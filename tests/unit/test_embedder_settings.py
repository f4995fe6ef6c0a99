"""What the embedder can be told, and what it refuses."""

import pytest
from pydantic import ValidationError

from embedder.settings import EmbedderSettings
from tests.fixtures_embedder import settings


def test_defaults_are_those_of_the_design(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in EmbedderSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    found = EmbedderSettings(_env_file=None)
    assert found.embedder_port == 50051
    assert found.embedder_metrics_port == 9101
    assert found.embedding_model == "nomic-ai/nomic-embed-text-v1.5"
    assert found.code_embedding_model == "jinaai/jina-embeddings-v2-base-code"
    assert (found.embedding_dimension, found.code_embedding_dimension) == (768, 768)
    assert (found.embedding_mode, found.embedding_device) == ("real", "cpu")
    assert found.embedding_preload


def test_variables_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDER_PORT", "0")
    monkeypatch.setenv("EMBEDDING_DIMENSION", "384")
    monkeypatch.setenv("CODE_EMBEDDING_DIMENSION", "384")
    found = EmbedderSettings(_env_file=None)
    assert (found.embedder_port, found.embedding_dimension) == (0, 384)


def test_dimensions_that_differ_are_refused_with_both_values() -> None:
    with pytest.raises(ValidationError, match=r"EMBEDDING_DIMENSION is 384 and CODE_EMBEDDING_DIMENSION is 768"):
        settings(embedding_dimension=384, code_embedding_dimension=768)


def test_mock_is_refused_in_production_and_nowhere_else() -> None:
    with pytest.raises(ValidationError, match="EMBEDDING_MODE=mock is refused"):
        settings(embedding_mode="mock", environment="production")
    assert settings(embedding_mode="mock", environment="test").embedding_mode == "mock"


@pytest.mark.parametrize(
    "wrong",
    [{"embedder_port": 65536}, {"embedder_metrics_port": -1}, {"embedding_device": "tpu"}, {"embedding_model": ""}],
    ids=str,
)
def test_values_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        settings(**wrong)


def test_every_knob_is_described() -> None:
    assert [name for name, field in EmbedderSettings.model_fields.items() if not field.description] == []
