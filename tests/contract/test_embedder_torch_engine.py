"""Torch against sentence-transformers itself, and against files that are not what they seem."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
import torch
from safetensors import safe_open
from sentence_transformers import SentenceTransformer
from transformers import NomicBertConfig, NomicBertModel

from embedder.domain import InputKind
from embedder.models.catalogue import Catalogue, ModelProfile
from embedder.models.errors import ModelUnusableError
from embedder.models.fingerprint import content_digest
from embedder.models.loading import LoadOptions, real_loader
from embedder.models.memory import MemoryBudget, MemoryWatch
from embedder.models.model import Loader
from embedder.models.reference import LocalModel, ModelReference, parse_reference
from embedder.models.space import VectorSpace
from embedder.models.torch_engine import TorchEngine
from tests.fixtures_embedder import MINILM, PACKAGE, copy_of_minilm, rewrite, tiny_model

TEXTS = [
    "hello",
    "How do I make sure a file gets closed even if something fails?",
    "Ünïcödé, 日本語のテキスト, emoji 🙂🙃 and שלום",
    "  leading and trailing blanks \n\n",
    "UPPER case",
    "def f(x: int) -> int:\n    return x + 1\n",
    "the quick brown fox jumps over the lazy dog " * 60,  # more than 256 tokens
    "medium " * 100,
]


@pytest.fixture(scope="module")
def minilm() -> TorchEngine:
    return TorchEngine(MINILM, name=PACKAGE, device="cpu", precision="fp32")


def loader(reference: ModelReference, *, dimension: int) -> Loader:
    options = LoadOptions(dimension, engine="torch", precision="fp32")
    return real_loader(reference, options, Catalogue(), MemoryBudget(None, MemoryWatch()))


@pytest.fixture(scope="module")
def original() -> SentenceTransformer:
    return SentenceTransformer(str(MINILM), device="cpu", local_files_only=True)


def finish(engine: TorchEngine, texts: list[str]) -> np.ndarray[Any, Any]:
    space = VectorSpace("", engine.info.dimension, ModelProfile())
    return space.finish(engine.forward(engine.tokenize(texts)), engine.info.dimension)


@pytest.mark.parametrize("texts", [TEXTS, TEXTS[:1], list(reversed(TEXTS)) * 4], ids=["mixed", "one", "many"])
def test_vectors_agree_with_sentence_transformers(
    minilm: TorchEngine, original: SentenceTransformer, texts: list[str]
) -> None:
    expected = original.encode(texts, normalize_embeddings=True)
    assert ((finish(minilm, texts) * expected).sum(axis=1) >= 0.9999).all()


def test_half_precision_agrees_with_full_precision(original: SentenceTransformer) -> None:
    engine = TorchEngine(MINILM, name=PACKAGE, device="cpu", precision="bf16")
    assert engine.info.precision == "bf16"
    assert engine.info.weight_bytes == sum(parameter.numel() for parameter in original.parameters()) * 2
    expected = original.encode(TEXTS, normalize_embeddings=True)
    assert ((finish(engine, TEXTS) * expected).sum(axis=1) >= 0.999).all()
    alone = np.concatenate([finish(engine, [text]) for text in TEXTS])  # packed weights serve any size of batch
    assert ((alone * expected).sum(axis=1) >= 0.999).all()


def test_auto_takes_the_half_precision_that_this_cpu_computes_in() -> None:
    has = torch.cpu.get_capabilities()
    native = has.get("avx512_bf16") or has.get("amx_bf16") or has.get("bf16")
    assert TorchEngine(MINILM, name=PACKAGE, device="cpu").info.precision == ("bf16" if native else "fp32")


def test_fp16_on_a_cpu_warns(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        engine = TorchEngine(tiny_model(tmp_path / "tiny"), name="tiny", device="cpu", precision="fp16")
    assert engine.info.precision == "fp16"
    assert any(entry["log_level"] == "warning" and "fp16 on a CPU" in entry["event"] for entry in logs)


def test_the_packaged_model_runs_without_python() -> None:
    """One that cannot be traced would run, too: slower, in more memory, and with a line in the log."""
    with structlog.testing.capture_logs() as logs:
        TorchEngine(MINILM, name=PACKAGE, device="cpu")
    assert not [entry for entry in logs if "cannot be traced" in entry["event"]]


def test_int8_is_for_the_other_engine() -> None:
    with pytest.raises(ModelUnusableError, match="int8 runs with the onnx engine"):
        TorchEngine(MINILM, name=PACKAGE, device="cpu", precision="int8")


def test_counts_and_cuts_agree_with_the_tokenizer_of_the_model(
    minilm: TorchEngine, original: SentenceTransformer
) -> None:
    for text, item in zip(TEXTS, minilm.tokenize(TEXTS), strict=True):
        assert list(item.ids) == original.tokenizer(text, truncation=True, max_length=256)["input_ids"]
        assert item.count == len(original.tokenizer(text, verbose=False)["input_ids"])
    assert minilm.tokenize(TEXTS)[6].truncated


def test_the_tokenizer_is_nobody_elses(minilm: TorchEngine, original: SentenceTransformer) -> None:
    expected = minilm.tokenize(TEXTS)

    def disturb(length: int) -> None:
        original.tokenizer(TEXTS, truncation=True, padding=True, max_length=length)

    with ThreadPoolExecutor(2) as others:
        disturbing = [others.submit(disturb, length) for length in range(8, 128, 8)]
        assert all(minilm.tokenize(TEXTS) == expected for _ in range(10))
        for each in disturbing:
            each.result()


def test_what_the_engine_says_of_itself(minilm: TorchEngine) -> None:
    info = minilm.info
    assert (info.name, info.device, info.precision, info.dimension, info.max_tokens) == (
        "torch",
        "cpu",
        "fp32",
        384,
        256,
    )
    assert info.weight_bytes == pytest.approx(90e6, rel=0.1)


def test_a_whole_checkpoint_loads(tmp_path: Path) -> None:
    engine = TorchEngine(tiny_model(tmp_path / "tiny"), name="tiny", device="cpu")
    assert (engine.info.dimension, engine.info.max_tokens) == (32, 32)
    assert np.isfinite(finish(engine, TEXTS)).all()


def test_the_architecture_of_the_default_text_model_loads_whole_and_without_its_code(tmp_path: Path) -> None:
    directory = tiny_model(tmp_path / "nomic-embed-text-v1.5")
    config = NomicBertConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        architectures=["NomicBertModel"],
    )
    NomicBertModel(config).save_pretrained(directory)
    with safe_open(directory / "model.safetensors", "pt") as weights:
        assert "encoder.layers.0.attn.Wqkv.weight" in weights.keys()  # noqa: SIM118 - the names that the hub has
    rewrite(directory / "sentence_bert_config.json", max_seq_length=8_192)
    loaded = loader(LocalModel(str(directory)), dimension=32)()
    assert loaded.engine.info.max_tokens == 2_048  # what the architecture computes without its own code
    assert loaded.space.profile.prefixes[InputKind.QUERY] == "search_query: "
    assert loaded.space.offers(32)


def test_half_precision_files_are_computed_in_full_precision(tmp_path: Path) -> None:
    def halve(state: dict[str, Any]) -> dict[str, Any]:
        return {key: value.half() for key, value in state.items()}

    engine = TorchEngine(tiny_model(tmp_path / "tiny", edit=halve), name="tiny", device="cpu", precision="fp32")
    assert engine.info.precision == "fp32"
    parameters = 32 * (30522 + 64 + 2)  # embeddings, by far the most of it
    assert engine.info.weight_bytes > 4 * parameters


def without_a_layer(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if ".intermediate." not in key}


def of_another_architecture(state: dict[str, Any]) -> dict[str, Any]:
    """As in jina-embeddings-v2: a BERT with other layers under other names."""
    return {key.replace("intermediate.dense", "mlp.gated_layers"): value for key, value in state.items()}


def of_another_shape(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "embeddings.word_embeddings.weight": torch.zeros(100, 32)}


def with_something_more(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "encoder.layer.1.output.dense.bias": torch.zeros(32)}


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (without_a_layer, "2 weights that BertModel needs are missing"),
        (of_another_architecture, "missing .*intermediate.*2 weights have no place in BertModel.*gated"),
        (with_something_more, "1 weights have no place in BertModel"),
        (of_another_shape, "shape"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_not_made_up(tmp_path: Path, edit: Any, complaint: str) -> None:
    directory = tiny_model(tmp_path / "tiny", edit=edit)
    with pytest.raises(ModelUnusableError, match=f"'owner/tiny'.*{complaint}"):
        TorchEngine(directory, name="owner/tiny", device="cpu")


def test_parts_that_have_no_say_in_the_vector_may_be_missing_or_left_over(tmp_path: Path) -> None:
    def edit(state: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in state.items() if not key.startswith("pooler.")}
        return {**kept, "cls.predictions.bias": torch.zeros(4), "embeddings.position_ids": torch.arange(64)}

    whole = TorchEngine(tiny_model(tmp_path / "whole"), name="whole", device="cpu")
    trimmed = TorchEngine(tiny_model(tmp_path / "trimmed", edit=edit), name="trimmed", device="cpu")
    np.testing.assert_array_equal(finish(trimmed, TEXTS), finish(whole, TEXTS))


def test_advice_comes_with_the_refusal_of_a_known_model(tmp_path: Path) -> None:
    directory = tiny_model(tmp_path / "jina-embeddings-v2-base-code", edit=of_another_architecture)
    load = loader(LocalModel(str(directory)), dimension=32)
    with pytest.raises(ModelUnusableError, match=r"no place in BertModel.*nomic-ai/CodeRankEmbed"):
        load()


def test_a_module_that_comes_as_code_is_refused(tmp_path: Path) -> None:
    directory = tiny_model(tmp_path / "tiny")
    modules = json.loads((directory / "modules.json").read_text())
    modules[1]["type"] = "custom_code.Pooling"
    (directory / "modules.json").write_text(json.dumps(modules))
    (directory / "custom_code.py").write_text("raise AssertionError('was run')")
    with pytest.raises(ModelUnusableError, match=r"made of custom_code\.Pooling"):
        TorchEngine(directory, name="tiny", device="cpu")


def test_a_model_without_pooling_is_refused(tmp_path: Path) -> None:
    directory = tiny_model(tmp_path / "tiny")
    modules = json.loads((directory / "modules.json").read_text())
    (directory / "modules.json").write_text(json.dumps(modules[:1]))
    with pytest.raises(ModelUnusableError, match="not a transformer followed by pooling"):
        TorchEngine(directory, name="tiny", device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelUnusableError, match="EMBEDDING_DEVICE=cuda"):
        TorchEngine(MINILM, name=PACKAGE, device="cuda")


def test_another_dimension_than_configured_is_refused_with_what_to_set() -> None:
    load = loader(parse_reference(PACKAGE), dimension=768)
    with pytest.raises(ModelUnusableError, match=r"length 384, configured are 768; set EMBEDDING_DIMENSION .* to 384"):
        load()


def test_the_same_model_in_a_directory_is_in_the_same_space(tmp_path: Path) -> None:
    package = loader(parse_reference(PACKAGE), dimension=384)()
    directory = copy_of_minilm(tmp_path / "somewhere")
    copied = loader(LocalModel(str(directory)), dimension=384)()
    assert copied.space.fingerprint(384) == package.space.fingerprint(384)


def test_a_model_saved_again_by_the_library_keeps_its_digest_except_for_rewritten_weights(
    tmp_path: Path, original: SentenceTransformer
) -> None:
    original.save(str(tmp_path / "saved"), create_model_card=False)
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / "saved" / name).write_bytes((MINILM / name).read_bytes())
    assert content_digest(tmp_path / "saved") == content_digest(MINILM)


def test_the_limit_of_tokens_is_the_smaller_of_what_the_files_say(tmp_path: Path) -> None:
    directory = tiny_model(tmp_path / "tiny")
    rewrite(directory / "sentence_bert_config.json", max_seq_length=8_192)
    engine = TorchEngine(directory, name="tiny", device="cpu")
    assert engine.info.max_tokens == 64  # the positions that were trained
    assert np.isfinite(finish(engine, ["word " * 500])).all()
