"""Fingerprints, shortening and normalisation."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from embedder.domain import InputKind
from embedder.models.catalogue import ModelProfile
from embedder.models.errors import ModelUnusableError
from embedder.models.fingerprint import content_digest
from embedder.models.space import UnusableVectorError, VectorSpace
from tests.fixtures_embedder import MINILM, rewrite

SHORTENABLE = ModelProfile(shortest=2)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The layout of the packaged model with stand-ins for what is large."""
    copied = tmp_path / "model"
    shutil.copytree(MINILM, copied, ignore=shutil.ignore_patterns("*.safetensors", "tokenizer.json"))
    (copied / "model.safetensors").write_bytes(b"weights")
    (copied / "tokenizer.json").write_text("{}")
    return copied


def test_a_digest_does_not_depend_on_where_the_files_lie(directory: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for path in directory.rglob("*"):  # as in a hub cache: a tree of links
        target = moved / path.relative_to(directory)
        target.mkdir() if path.is_dir() else target.symlink_to(path)
    assert content_digest(moved) == content_digest(directory)


@pytest.mark.parametrize("name", ["README.md", "config.json", "vocab.txt", "pytorch_model.bin", "onnx/model.onnx"])
def test_files_that_do_not_decide_the_vectors_are_left_out(directory: Path, name: str) -> None:
    before = content_digest(directory)
    (directory / name).parent.mkdir(exist_ok=True)
    (directory / name).write_text("other")
    assert content_digest(directory) == before


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "model-00002-of-00002.safetensors"])
def test_weights_and_tokenizer_decide(directory: Path, name: str) -> None:
    before = content_digest(directory)
    (directory / name).write_text("other")
    assert content_digest(directory) != before


def test_pooling_decides_and_not_how_it_is_written(directory: Path) -> None:
    pooling = directory / "1_Pooling" / "config.json"
    before = content_digest(directory)
    pooling.write_text(json.dumps({"embedding_dimension": 384, "pooling_mode": "mean", "include_prompt": True}))
    assert content_digest(directory) == before
    rewrite(pooling, pooling_mode="cls")
    assert content_digest(directory) != before


def test_a_module_more_decides_except_normalisation_which_is_always_done(directory: Path) -> None:
    before = content_digest(directory)
    modules = json.loads((directory / "modules.json").read_text())
    (directory / "modules.json").write_text(json.dumps(modules[:2]))
    assert content_digest(directory) == before
    dense = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (directory / "modules.json").write_text(json.dumps([*modules[:2], dense]))
    assert content_digest(directory) != before


def test_the_packaged_model_keeps_the_digest_that_databases_carry() -> None:
    assert content_digest(MINILM) == "c084e48ec9ba83a4da8ba9f9404f2c1896239d34951a31b74dd3fcd7f8368220"


def test_how_a_model_without_modules_pools_decides_as_if_its_files_said_it(directory: Path) -> None:
    said = content_digest(directory)
    (directory / "modules.json").unlink()
    shutil.rmtree(directory / "1_Pooling")
    assert content_digest(directory, pooling="mean") == said
    assert content_digest(directory, pooling="cls") != said


def with_onnx(directory: Path) -> Path:
    (directory / "onnx").mkdir()
    (directory / "onnx" / "model.onnx").write_text("graph")
    (directory / "onnx" / "model.onnx_data").write_text("weights")
    return directory


def test_what_an_export_was_compared_with_is_what_it_is(directory: Path) -> None:
    (directory / "trimem.json").write_text(json.dumps({"content": "ab" * 32}))
    assert content_digest(directory) == "ab" * 32
    assert content_digest(directory, engine="onnx") == "ab" * 32


@pytest.mark.parametrize("content", [None, "", "ab", "AB" * 32, 5])
def test_an_export_without_a_digest_is_refused(directory: Path, content: object) -> None:
    (directory / "trimem.json").write_text(json.dumps({"content": content}))
    with pytest.raises(ModelUnusableError, match=r"trimem\.json"):
        content_digest(directory)


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_without_weights_for_torch_the_onnx_file_and_its_data_decide_and_no_int8_variant(
    directory: Path, engine: str
) -> None:
    with_onnx(directory)
    (directory / "model.safetensors").unlink()
    digests = [content_digest(directory, engine=engine)]
    (directory / "onnx" / "model_quantized.onnx").write_text("rounded")
    assert content_digest(directory, engine=engine) == digests[0]
    for name in ("onnx/model.onnx", "onnx/model.onnx_data", "tokenizer.json"):
        (directory / name).write_text("other")
        digests.append(content_digest(directory, engine=engine))
    assert len(set(digests)) == len(digests)


def test_what_onnxruntime_runs_is_known_by_its_own_weights_whatever_lies_next_to_them(directory: Path) -> None:
    both = content_digest(with_onnx(directory), engine="onnx")
    assert both != content_digest(directory, engine="torch")
    (directory / "model.safetensors").unlink()
    assert content_digest(directory, engine="onnx") == both


def test_the_onnx_file_that_the_catalogue_names_is_the_one_that_decides(directory: Path) -> None:
    default = content_digest(with_onnx(directory), engine="onnx")
    (directory / "onnx" / "other.onnx").write_text("another graph")
    assert content_digest(directory, engine="onnx", onnx_file="onnx/other.onnx") != default


def test_a_model_without_weights_has_no_identity(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    with pytest.raises(ModelUnusableError, match="no weights"):
        content_digest(directory)
    (directory / "model_quantized.onnx").write_text("rounded")
    with pytest.raises(ModelUnusableError, match="no weights in full precision"):
        content_digest(directory)


def test_each_part_of_a_space_has_its_say_in_the_fingerprint() -> None:
    prefixes = {InputKind.DOCUMENT: "", InputKind.QUERY: "q: "}
    fingerprints = [
        VectorSpace("a", 4, SHORTENABLE).fingerprint(4),
        VectorSpace("a", 4, SHORTENABLE).fingerprint(2),
        VectorSpace("b", 4, SHORTENABLE).fingerprint(4),
        VectorSpace("a", 2, SHORTENABLE).fingerprint(2),
        VectorSpace("a", 4, ModelProfile(prefixes)).fingerprint(4),
    ]
    assert len(set(fingerprints)) == len(fingerprints)
    assert all(len(fingerprint) == 64 for fingerprint in fingerprints)


def test_a_fingerprint_is_stable_across_releases() -> None:
    # Vectors in databases carry it: change it only together with the vectors.
    assert (
        VectorSpace("a", 4, ModelProfile()).fingerprint(4)
        == "cc302f7f0fc7a390dea8c109a141dfdc60412cdd66cb946f126c7c3300aaca4e"
    )


@pytest.mark.parametrize(("dimensions", "offered"), [(4, True), (3, True), (2, True), (1, False), (5, False)])
def test_a_shortenable_model_offers_lengths_between_its_shortest_and_its_full_one(
    dimensions: int, offered: bool
) -> None:
    assert VectorSpace("a", 4, SHORTENABLE).offers(dimensions) is offered


def test_other_models_offer_their_full_length_only() -> None:
    space = VectorSpace("a", 4, ModelProfile())
    assert [space.offers(n) for n in (1, 2, 3, 4, 5)] == [False, False, False, True, False]


def test_full_vectors_are_normalised_and_nothing_else() -> None:
    finished = VectorSpace("a", 2, ModelProfile()).finish(np.array([[3, 4], [-1e-30, 0]], dtype=np.float32), 2)
    assert finished.dtype == np.float32
    assert finished == pytest.approx(np.array([[0.6, 0.8], [-1, 0]]))


def test_short_vectors_follow_the_recipe_of_the_model_card() -> None:
    raw = np.random.default_rng(1).standard_normal((5, 768)).astype(np.float32)
    # layer_norm over the full vector, slice, L2; see the card of nomic-embed-text-v1.5.
    layer_norm = (raw - raw.mean(axis=1, keepdims=True)) / np.sqrt(raw.var(axis=1, keepdims=True) + 1e-5)
    expected = layer_norm[:, :256] / np.linalg.norm(layer_norm[:, :256], axis=1, keepdims=True)
    finished = VectorSpace("a", 768, ModelProfile(shortest=64)).finish(raw, 256)
    np.testing.assert_allclose(finished, expected, atol=1e-6)


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_vectors_without_a_direction_never_leave(bad: float) -> None:
    raw = np.ones((3, 4), dtype=np.float32)
    raw[1] = bad
    with pytest.raises(UnusableVectorError):
        VectorSpace("a", 4, ModelProfile()).finish(raw, 4)


def test_a_constant_vector_has_nothing_left_once_centred() -> None:
    with pytest.raises(UnusableVectorError):
        VectorSpace("a", 4, SHORTENABLE).finish(np.ones((1, 4), dtype=np.float32), 2)
