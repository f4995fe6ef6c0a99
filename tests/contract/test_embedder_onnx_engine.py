"""The onnx engine: pooling outside of the graph, and files that are not what they seem."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from embedder.models.engine import Tokenized
from embedder.models.errors import ModelUnusableError
from embedder.models.onnx_engine import OnnxEngine
from tests.fixtures_embedder import rewrite, tiny_model
from tests.fixtures_onnx import TEXTS, WIDTH, WORDS, graph, onnx_model


def token_vectors(items: Sequence[Tokenized]) -> list[np.ndarray[Any, Any]]:
    """What `graph` makes of tokens."""
    tensors = {each.name: numpy_helper.to_array(each) for each in graph().graph.initializer}
    return [tensors["table"][list(item.ids)] @ tensors["matrix"] for item in items]


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


def test_a_model_without_onnx_file_is_refused(tmp_path: Path) -> None:
    assert "onnx/model.onnx is missing" in refusal(tiny_model(tmp_path / "torch"))


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
def test_a_precision_that_onnxruntime_does_not_run_is_refused(tmp_path: Path, precision: str) -> None:
    assert f"runs fp32 and int8, not {precision}" in refusal(onnx_model(tmp_path / "m"), precision=precision)


def test_tokens_beyond_the_vocabulary_of_the_graph_are_found_while_loading(tmp_path: Path) -> None:
    def shrink(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((100, WIDTH), np.float32), "table"))

    assert "its ONNX file does not run" in refusal(onnx_model(tmp_path / "m", edit=shrink))
