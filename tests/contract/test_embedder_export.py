"""Exports to ONNX and to int8: whose vectors they make, and when they are refused."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from embedder.models.engine import Tokenized
from embedder.models.errors import ModelUnusableError
from embedder.models.export import Source, export
from embedder.models.fingerprint import content_digest
from embedder.models.onnx_engine import OnnxEngine
from embedder.models.quantise import quantise
from embedder.models.torch_engine import TorchEngine
from tests.fixtures_embedder import rewrite, tiny_model
from tests.fixtures_onnx import TEXTS, WIDTH, WORDS, onnx_model


def vectors(engine: OnnxEngine | TorchEngine, texts: Sequence[str] = TEXTS) -> np.ndarray[Any, Any]:
    """Vectors of norm 1."""
    return unit(engine.forward(engine.tokenize(texts)))


def unit(raw: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Rows divided by their norms."""
    normalised: np.ndarray[Any, Any] = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    return normalised


def nomic(directory: Path) -> Path:
    """A nomic_bert of one layer with random weights."""
    from transformers import NomicBertConfig, NomicBertModel

    tiny_model(directory)
    config = NomicBertConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        architectures=["NomicBertModel"],
    )
    NomicBertModel(config).save_pretrained(directory)
    rewrite(directory / "sentence_bert_config.json", max_seq_length=2_048)
    return directory


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("torch") / "bert")


@pytest.fixture(scope="module")
def exported(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("onnx") / "bert"
    export(Source(bert, "owner/bert"), out, int8=False)
    return out


@pytest.fixture(scope="module")
def small(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("int8") / "bert"
    export(Source(exported, str(exported)), out, int8=True)
    return out


def test_an_export_makes_the_vectors_of_torch(bert: Path, exported: Path) -> None:
    torch = TorchEngine(bert, name="bert", device="cpu", precision="fp32")
    engine = OnnxEngine(exported, name="bert", precision="fp32")
    assert engine.tokenize(TEXTS) == torch.tokenize(TEXTS)
    assert (np.sum(vectors(engine) * vectors(torch), axis=1) > 0.9999).all()
    assert (engine.info.dimension, engine.info.max_tokens) == (torch.info.dimension, torch.info.max_tokens)


def test_an_export_of_a_nomic_bert_runs_every_length_and_number_of_inputs(tmp_path: Path) -> None:
    source = nomic(tmp_path / "nomic")
    export(Source(source, "nomic"), tmp_path / "out", int8=False)
    torch = TorchEngine(source, name="nomic", device="cpu", precision="fp32")
    engine = OnnxEngine(tmp_path / "out", name="nomic")
    for count, length in ((1, 3), (1, 9), (2, 9), (1, 512), (5, 70), (33, 4)):
        longest = Tokenized([101, *range(1_000, 998 + length), 102], length)
        batch = [longest, *(Tokenized([101, 2_000 + index, 102], 3) for index in range(count - 1))]
        cosines = np.sum(unit(engine.forward(batch)) * unit(torch.forward(batch)), axis=1)
        assert (cosines > 0.9999).all(), (count, length)


def test_an_export_lies_in_the_space_of_its_source(bert: Path, exported: Path, small: Path) -> None:
    digest = content_digest(bert)
    for directory, engine in ((exported, "torch"), (exported, "onnx"), (small, "onnx")):
        assert content_digest(directory, engine=engine) == digest
    for directory in (exported, small):
        assert json.loads((directory / "trimem.json").read_text()) == {"content": digest, "source": "owner/bert"}


def test_an_int8_export_straight_from_torch_has_no_other_weights(bert: Path, exported: Path, tmp_path: Path) -> None:
    export(Source(bert, "bert"), tmp_path / "out", int8=True)
    assert {path.name for path in (tmp_path / "out" / "onnx").iterdir()} == {"model_int8.onnx", "model_int8.onnx.data"}
    assert not [*(tmp_path / "out").rglob("*.safetensors")]
    small = vectors(OnnxEngine(tmp_path / "out", name="bert", precision="int8"))
    assert (np.sum(small * vectors(OnnxEngine(exported, name="bert")), axis=1) > 0.99).all()


def test_nothing_is_left_of_an_export_that_fails(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*args: Any, **kwargs: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("embedder.models.export.quantise", break_down)
    with pytest.raises(OSError, match="no space"):
        export(Source(onnx_model(tmp_path / "source"), "m"), tmp_path / "out", int8=True)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_an_export_that_differs_from_its_source_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_weights(source: Path, out: Path, *, name: str) -> None:
        model = onnx.load(source)
        noise = np.random.default_rng(1).standard_normal((WORDS, WIDTH)).astype(np.float32)
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(noise, "table"))
        onnx.save(model, source.with_name("noise.onnx"))
        quantise(source.with_name("noise.onnx"), out, name=name)

    monkeypatch.setattr("embedder.models.export.quantise", other_weights)
    with pytest.raises(ModelUnusableError, match=r"'owner/m': what was exported has a cosine of -?0\.\d+"):
        export(Source(onnx_model(tmp_path / "source"), "owner/m"), tmp_path / "out", int8=True)
    assert not (tmp_path / "out").exists()


def test_an_export_overwrites_nothing(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    with pytest.raises(ModelUnusableError, match="already there"):
        export(Source(bert, "bert"), tmp_path, int8=False)
    assert (tmp_path / "precious").read_text() == "data"


def test_an_onnx_model_is_not_exported_to_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusableError, match="'owner/m': is an ONNX model already"):
        export(Source(onnx_model(tmp_path / "m"), "owner/m"), tmp_path / "out", int8=False)


# What int8 is.


def test_a_repository_with_an_onnx_file_goes_to_int8_and_runs_without_torch(tmp_path: Path) -> None:
    source, out = onnx_model(tmp_path / "source"), tmp_path / "out"
    script = f"""if True:
        import sys
        from pathlib import Path
        from embedder.models.export import Source, export
        from embedder.models.onnx_engine import OnnxEngine
        export(Source(Path({str(source)!r}), "m"), Path({str(out)!r}), int8=True)
        OnnxEngine(Path({str(out)!r}), name="m", precision="int8")
        sys.exit(any(name in sys.modules for name in ("torch", "transformers", "sentence_transformers")))
    """
    assert subprocess.run([sys.executable, "-c", script], check=False, stdout=subprocess.DEVNULL).returncode == 0
    assert content_digest(out, engine="onnx") == content_digest(source, engine="onnx")


def test_int8_is_a_quarter_of_the_size_and_nearly_the_same(exported: Path, small: Path) -> None:
    whole, quarter = OnnxEngine(exported, name="m"), OnnxEngine(small, name="m", precision="int8")
    assert quarter.info.weight_bytes < 0.35 * whole.info.weight_bytes
    assert (np.sum(vectors(quarter) * vectors(whole), axis=1) > 0.99).all()
    assert (whole.info.precision, quarter.info.precision) == ("fp32", "int8")


def test_an_int8_vector_does_not_depend_on_what_else_is_in_its_batch(small: Path) -> None:
    engine = OnnxEngine(small, name="m", precision="int8")
    together = vectors(engine, TEXTS * 5)
    alone = np.concatenate([vectors(engine, [text]) for text in TEXTS])
    np.testing.assert_allclose(together, np.tile(alone, (5, 1)), atol=1e-5)


def test_auto_is_full_precision_where_it_is_there(exported: Path, small: Path, tmp_path: Path) -> None:
    both = shutil.copytree(exported, tmp_path / "both")
    shutil.copytree(small / "onnx", both / "onnx", dirs_exist_ok=True)
    assert [OnnxEngine(each, name="m").info.precision for each in (exported, both, small)] == ["fp32", "fp32", "int8"]
    assert OnnxEngine(both, name="m", precision="int8").info.precision == "int8"


def test_int8_that_nobody_made_yet_is_refused_with_how_to_make_it(exported: Path) -> None:
    with pytest.raises(
        ModelUnusableError, match=r"'owner/m': has no onnx/model_int8\.onnx; `python -m embedder export"
    ):
        OnnxEngine(exported, name="owner/m", precision="int8")


def test_int8_of_other_makers_is_refused(tmp_path: Path) -> None:
    directory = onnx_model(tmp_path / "m")
    shutil.copy(directory / "onnx" / "model.onnx", directory / "onnx" / "model_int8.onnx")
    with pytest.raises(ModelUnusableError, match="was not made by"):
        OnnxEngine(directory, name="m", precision="int8")


def test_int8_is_not_taken_for_full_precision(tmp_path: Path) -> None:
    directory = onnx_model(tmp_path / "m")
    quantise(directory / "onnx" / "model.onnx", directory / "model.onnx", name="m")
    (directory / "onnx" / "model.onnx").unlink()
    with pytest.raises(ModelUnusableError, match="int8 variant, where fp32 should be"):
        OnnxEngine(directory, name="m", precision="fp32")


def test_a_file_with_nothing_to_quantise_is_refused(tmp_path: Path) -> None:
    def halve(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))

    directory = onnx_model(tmp_path / "m", edit=halve)
    with pytest.raises(ModelUnusableError, match="no float32 matrices"):
        quantise(directory / "onnx" / "model.onnx", tmp_path / "out.onnx", name="m")
