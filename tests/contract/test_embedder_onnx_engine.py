"""The onnx engine against torch, its export and int8 variants, and files that are not what they seem."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from embedder.models.engine import Tokenized
from embedder.models.errors import ModelUnusableError
from embedder.models.export import export
from embedder.models.fingerprint import content_digest
from embedder.models.onnx_engine import OnnxEngine
from embedder.models.quantise import quantise
from embedder.models.torch_engine import TorchEngine
from tests.fixtures_embedder import MINILM, rewrite, tiny_model

WIDTH = 16
WORDS = 30_522
TEXTS = ["hello", "How do I close a file?", "Ünïcödé, 日本語, שלום", "def f(x):\n    return x", "word " * 500]

Edit = Callable[[onnx.ModelProto], None]


def onnx_model(directory: Path, *, edit: Edit | None = None, pooling: str = "mean", **node: Any) -> Path:
    """A directory as repositories on the hub have them, without torch weights: embeddings, and one product."""
    shutil.copytree(MINILM, directory, ignore=shutil.ignore_patterns("*.safetensors"))
    rewrite(directory / "config.json", hidden_size=WIDTH)
    (directory / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": pooling}))
    (directory / "onnx").mkdir()
    model = graph(**node)
    if edit:
        edit(model)
    onnx.save(model, directory / "onnx" / "model.onnx")
    return directory


def graph(
    inputs: Sequence[str] = ("input_ids", "attention_mask"), output: str = "last_hidden_state", rank: int = 3
) -> onnx.ModelProto:
    random = np.random.default_rng(7)
    table = random.standard_normal((WORDS, WIDTH)).astype(np.float32)
    matrix = random.standard_normal((WIDTH, WIDTH)).astype(np.float32)
    shape: list[str | int] = ["n", "longest", WIDTH] if rank == 3 else ["n", WIDTH]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["embedded"]),
        helper.make_node("MatMul", ["embedded", "matrix"], [output if rank == 3 else "tokens"]),
    ]
    if rank == 2:
        nodes.append(helper.make_node("ReduceMax", ["tokens"], [output], axes=[1], keepdims=0))
    return helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "longest"]) for name in inputs],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(table, "table"), numpy_helper.from_array(matrix, "matrix")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )


def token_vectors(items: Sequence[Tokenized]) -> list[np.ndarray[Any, Any]]:
    """What `graph` makes of tokens."""
    tensors = {each.name: numpy_helper.to_array(each) for each in graph().graph.initializer}
    return [tensors["table"][list(item.ids)] @ tensors["matrix"] for item in items]


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
    export(bert, out, name="owner/bert", int8=False)
    return out


@pytest.fixture(scope="module")
def small(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("int8") / "bert"
    export(exported, out, name=str(exported), int8=True)
    return out


# What an export is.


def test_an_export_makes_the_vectors_of_torch(bert: Path, exported: Path) -> None:
    torch = TorchEngine(bert, name="bert", device="cpu", precision="fp32")
    engine = OnnxEngine(exported, name="bert", precision="fp32")
    assert engine.tokenize(TEXTS) == torch.tokenize(TEXTS)
    assert (np.sum(vectors(engine) * vectors(torch), axis=1) > 0.9999).all()
    assert (engine.info.dimension, engine.info.max_tokens) == (torch.info.dimension, torch.info.max_tokens)


def test_an_export_of_a_nomic_bert_runs_every_length_and_number_of_inputs(tmp_path: Path) -> None:
    source = nomic(tmp_path / "nomic")
    export(source, tmp_path / "out", name="nomic", int8=False)
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
    export(bert, tmp_path / "out", name="bert", int8=True)
    assert {path.name for path in (tmp_path / "out" / "onnx").iterdir()} == {"model_int8.onnx", "model_int8.onnx.data"}
    assert not [*(tmp_path / "out").rglob("*.safetensors")]
    small = vectors(OnnxEngine(tmp_path / "out", name="bert", precision="int8"))
    assert (np.sum(small * vectors(OnnxEngine(exported, name="bert")), axis=1) > 0.99).all()


def test_nothing_is_left_of_an_export_that_fails(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*args: Any, **kwargs: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("embedder.models.export.quantise", break_down)
    with pytest.raises(OSError, match="no space"):
        export(onnx_model(tmp_path / "source"), tmp_path / "out", name="m", int8=True)
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
        export(onnx_model(tmp_path / "source"), tmp_path / "out", name="owner/m", int8=True)
    assert not (tmp_path / "out").exists()


def test_an_export_overwrites_nothing(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    with pytest.raises(ModelUnusableError, match="already there"):
        export(bert, tmp_path, name="bert", int8=False)
    assert (tmp_path / "precious").read_text() == "data"


def test_an_onnx_model_is_not_exported_to_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusableError, match="'owner/m': is an ONNX model already"):
        export(onnx_model(tmp_path / "m"), tmp_path / "out", name="owner/m", int8=False)


# What int8 is.


def test_a_repository_with_an_onnx_file_goes_to_int8_and_runs_without_torch(tmp_path: Path) -> None:
    source, out = onnx_model(tmp_path / "source"), tmp_path / "out"
    script = f"""if True:
        import sys
        from pathlib import Path
        from embedder.models.export import export
        from embedder.models.onnx_engine import OnnxEngine
        export(Path({str(source)!r}), Path({str(out)!r}), name="m", int8=True)
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


# How tokens are pooled outside of the graph.


@pytest.mark.parametrize(
    ("mode", "pool"),
    [
        ("mean", lambda rows: rows.mean(axis=0)),
        ("cls", lambda rows: rows[0]),
        ("lasttoken", lambda rows: rows[-1]),
        ("max", lambda rows: rows.max(axis=0)),
    ],
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_tokens_are_pooled_as_the_files_say(tmp_path: Path, mode: str, pool: Any, side: str) -> None:
    directory = onnx_model(tmp_path / "m", pooling=mode)
    rewrite(directory / "tokenizer_config.json", padding_side=side)
    engine = OnnxEngine(directory, name="m")
    items = engine.tokenize(TEXTS)
    expected = np.stack([pool(rows) for rows in token_vectors(items)])
    np.testing.assert_allclose(engine.forward(items), expected, atol=1e-4)


def test_a_model_without_modules_pools_as_the_catalogue_says(tmp_path: Path) -> None:
    directory = onnx_model(tmp_path / "m")
    (directory / "modules.json").unlink()
    engine = OnnxEngine(directory, name="m", pooling="cls")
    items = engine.tokenize(["hello"])
    np.testing.assert_allclose(engine.forward(items)[0], token_vectors(items)[0][0], atol=1e-5)
    with pytest.raises(ModelUnusableError, match="pools by nothing that its files name"):
        OnnxEngine(directory, name="m")


def test_the_output_of_a_graph_that_pools_is_taken_as_it_is(tmp_path: Path) -> None:
    engine = OnnxEngine(onnx_model(tmp_path / "m", output="sentence_embedding", rank=2), name="m")
    items = engine.tokenize(["hello"])
    np.testing.assert_allclose(engine.forward(items)[0], token_vectors(items)[0].max(axis=0), atol=1e-5)


@pytest.mark.parametrize("inputs", [("input_ids",), ("input_ids", "attention_mask", "token_type_ids", "position_ids")])
def test_a_graph_gets_the_inputs_that_it_wants(tmp_path: Path, inputs: tuple[str, ...]) -> None:
    engine = OnnxEngine(onnx_model(tmp_path / "m", inputs=inputs), name="m")
    assert engine.forward(engine.tokenize(TEXTS)).shape == (len(TEXTS), WIDTH)


@pytest.mark.parametrize("mode", ["weightedmean", "mean_sqrt_len_tokens"])
def test_pooling_that_we_do_not_do_is_refused_by_name(tmp_path: Path, mode: str) -> None:
    with pytest.raises(
        ModelUnusableError, match=f"'owner/m': pools by {mode}; outside of the graph .* knows cls, last"
    ):
        OnnxEngine(onnx_model(tmp_path / "m", pooling=mode), name="owner/m")


@pytest.mark.parametrize("kind", ["Dense", "LayerNorm", "WordWeights"])
def test_a_module_that_is_not_in_the_graph_is_refused_and_not_skipped(tmp_path: Path, kind: str) -> None:
    directory = onnx_model(tmp_path / "m")
    modules = json.loads((directory / "modules.json").read_text())
    modules.insert(2, {"idx": 2, "name": "2", "path": "2_More", "type": f"sentence_transformers.models.{kind}"})
    (directory / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelUnusableError, match=f"'owner/m': its {kind} module is not in the ONNX file"):
        OnnxEngine(directory, name="owner/m")


# What does not load.


def refusal(directory: Path, **options: Any) -> str:
    with pytest.raises(ModelUnusableError) as caught:
        OnnxEngine(directory, name="owner/m", **options)
    assert caught.value.message.startswith("model 'owner/m': ")
    return caught.value.message


def test_a_model_without_onnx_file_is_refused(bert: Path) -> None:
    assert "onnx/model.onnx is missing" in refusal(bert)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.999])
def test_a_half_downloaded_file_is_refused(tmp_path: Path, part: float) -> None:
    path = onnx_model(tmp_path / "m") / "onnx" / "model.onnx"
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    assert "model.onnx cannot be loaded, half-downloaded?" in refusal(tmp_path / "m")


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    (onnx_model(tmp_path / "m") / "onnx" / "model.onnx").write_text("<html>404</html>")
    assert "model.onnx cannot be loaded" in refusal(tmp_path / "m")


@pytest.mark.parametrize("left", [None, 1_000])
def test_weights_that_lie_in_another_file_must_be_there_and_whole(tmp_path: Path, left: int | None) -> None:
    directory = onnx_model(tmp_path / "m")
    path = directory / "onnx" / "model.onnx"
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="model.onnx_data")
    engine = OnnxEngine(directory, name="m")
    assert engine.info.weight_bytes > 4 * WORDS * WIDTH
    data = directory / "onnx" / "model.onnx_data"
    if left is None:
        data.unlink()
    else:
        data.write_bytes(data.read_bytes()[:left])
    assert "model.onnx cannot be loaded" in refusal(directory)


def test_another_width_than_the_configuration_says_is_refused(tmp_path: Path) -> None:
    directory = onnx_model(tmp_path / "m")
    rewrite(directory / "config.json", hidden_size=768)
    assert "makes vectors of length 16, config.json says 768" in refusal(directory)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_vectors_that_are_no_vectors_are_refused(tmp_path: Path, value: float) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        matrix = np.full((WIDTH, WIDTH), value, np.float32)
        model.graph.initializer[1].CopyFrom(numpy_helper.from_array(matrix, "matrix"))

    assert "zero, NaN or infinite" in refusal(onnx_model(tmp_path / "m", edit=spoil))


def test_an_input_that_we_do_not_know_is_refused_by_name(tmp_path: Path) -> None:
    directory = onnx_model(tmp_path / "m", inputs=("input_ids", "pixel_values"))
    assert "wants pixel_values, which is unknown" in refusal(directory)


def test_an_output_that_is_no_vector_is_refused_by_name(tmp_path: Path) -> None:
    assert "gives logits: neither sentence_embedding nor" in refusal(
        onnx_model(tmp_path / "m", output="logits", rank=2)
    )


@pytest.mark.parametrize("precision", ["bf16", "fp16", "int4"])
def test_a_precision_that_onnxruntime_does_not_run_is_refused(exported: Path, precision: str) -> None:
    assert f"runs fp32 and int8, not {precision}" in refusal(exported, precision=precision)


def test_tokens_beyond_the_vocabulary_of_the_graph_are_found_while_loading(tmp_path: Path) -> None:
    def shrink(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((100, WIDTH), np.float32), "table"))

    assert "its ONNX file does not run" in refusal(onnx_model(tmp_path / "m", edit=shrink))
