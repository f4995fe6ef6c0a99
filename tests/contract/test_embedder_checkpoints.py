"""Which files make a model: real architectures in the layouts of their repositories, whole and damaged."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import NomicBertConfig, NomicBertModel, dynamic_module_utils

from embedder.models import hub
from embedder.models.catalogue import Catalogue
from embedder.models.catalogue_file import load_catalogue
from embedder.models.checkpoint_files import require_whole_onnx
from embedder.models.errors import ModelUnreachableError, ModelUnusableError
from embedder.models.reference import HubModel, parse_reference, resolve
from embedder.models.torch_engine import TorchEngine
from embedder.models.torch_loading import load_modules
from tests.fixtures_checkpoints import (
    COMMIT,
    HEADS,
    INNER,
    LAYERS,
    MINILM,
    VOCABULARY,
    WIDTH,
    hub_snapshot,
    jina_model,
    nomic_model,
    nomic_token_vectors,
    nomic_weights,
    save,
)

TEXT = "a text of a few words, long enough to make positions matter"


def vector(directory: Path) -> tuple[torch.Tensor, np.ndarray]:
    """The tokens of the text, and the vector that the engine makes of it."""
    engine = TorchEngine(directory, name="x", device="cpu", precision="fp32")
    tokens = engine.tokenize([TEXT])
    return torch.tensor(tokens[0].ids), engine.forward(tokens)[0]


def test_a_nomic_model_in_the_layout_of_its_repository_makes_the_vectors_of_the_published_architecture(
    tmp_path: Path,
) -> None:
    ids, made = vector(nomic_model(tmp_path / "model"))
    np.testing.assert_allclose(made, nomic_token_vectors(nomic_weights(), ids).mean(dim=0), atol=1e-5)


def test_a_nomic_model_makes_the_vectors_of_the_native_class(tmp_path: Path) -> None:
    config = NomicBertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
    )
    directory = nomic_model(tmp_path / "model")
    native = NomicBertModel.from_pretrained(directory, config=config)
    ids, made = vector(directory)
    with torch.inference_mode():
        np.testing.assert_allclose(made, native(ids[None]).last_hidden_state[0].mean(dim=0), atol=1e-5)


def test_coderankembed_pools_by_its_first_token(tmp_path: Path) -> None:
    ids, made = vector(nomic_model(tmp_path / "model", pooling="cls"))
    np.testing.assert_allclose(made, nomic_token_vectors(nomic_weights(), ids)[0], atol=1e-5)


def test_a_nomic_model_reads_what_it_was_trained_with(tmp_path: Path) -> None:
    # sentence_bert_config.json and n_positions say 8192.
    assert TorchEngine(nomic_model(tmp_path / "model"), name="x", device="cpu").info.max_tokens == 2048


def test_settings_of_the_old_configuration_are_heeded_or_refused(tmp_path: Path) -> None:
    ids, made = vector(nomic_model(tmp_path / "other", config={"rotary_emb_base": 10.0}))
    np.testing.assert_allclose(made, nomic_token_vectors(nomic_weights(), ids, base=10.0).mean(dim=0), atol=1e-5)
    with pytest.raises(ModelUnusableError, match=r"'x': config.json says prenorm = True"):
        load_modules(nomic_model(tmp_path / "refused", config={"prenorm": True}), name="x", dtype=torch.float32)


def test_weights_are_loaded_in_the_number_format_that_was_asked_for(tmp_path: Path) -> None:
    transformer, _ = load_modules(nomic_model(tmp_path / "model"), name="x", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in transformer.parameters()} == {torch.bfloat16}
    # In bf16 the angles of far positions would fall together.
    buffers = [buffer for buffer in transformer.buffers() if buffer.is_floating_point()]
    assert buffers
    assert {buffer.dtype for buffer in buffers} == {torch.float32}


@pytest.mark.parametrize("attention", ["torch", None])  # as in the repository; and what transformers would swallow
def test_a_jina_model_is_refused_and_not_loaded_as_the_bert_that_it_says_it_is(
    tmp_path: Path, attention: str | None
) -> None:
    directory = jina_model(tmp_path / "model", attention=attention)
    with pytest.raises(ModelUnusableError, match=r"JinaBertForMaskedLM is code that comes with it") as refusal:
        load_modules(directory, name="x", dtype=torch.float32)
    if attention is None:
        assert re.search(r"^model 'x': its files are of another architecture: \d+ weights", refusal.value.message)
    with pytest.raises(ModelUnusableError, match=r"config.json asks for the code jinaai/jina-bert-v2.*never run"):
        load_modules(directory, name="x", dtype=torch.float32, trust_remote_code=True)
    profile = Catalogue().find(HubModel("jinaai/jina-embeddings-v2-base-code"))
    assert profile is not None
    assert profile.engine == "onnx"
    assert "onnx" in profile.advice


def test_the_packaged_model_makes_the_vectors_of_sentence_transformers() -> None:
    _, made = vector(MINILM)
    expected = SentenceTransformer(str(MINILM), device="cpu").encode(TEXT, normalize_embeddings=True)
    np.testing.assert_allclose(made / np.linalg.norm(made), expected, atol=1e-5)


def test_a_model_without_modules_pools_as_the_catalogue_says(tmp_path: Path) -> None:
    directory = nomic_model(tmp_path / "model")
    (directory / "modules.json").unlink()
    shutil.rmtree(directory / "1_Pooling")
    with pytest.raises(ModelUnusableError, match=r"no modules\.json"):
        load_modules(directory, name="x", dtype=torch.float32)
    for pooling, expected in (("cls", torch.Tensor.__getitem__), ("mean", lambda states, _: states.mean(dim=0))):
        transformer, modules = load_modules(directory, name="x", dtype=torch.float32, pooling=pooling)
        features = transformer.preprocess([TEXT])
        with torch.inference_mode():
            made = SentenceTransformer(modules=[*modules], device="cpu")(features)["sentence_embedding"][0]
        states = nomic_token_vectors(nomic_weights(), features["input_ids"][0])
        torch.testing.assert_close(made, expected(states, 0), atol=1e-5, rtol=0)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def shard(directory: Path) -> None:
    weights = nomic_weights()
    (directory / "model.safetensors").unlink()
    names = sorted(weights)
    save(directory, {name: weights[name] for name in names[:5]}, "model-00001-of-00002.safetensors")
    shards = {name: f"model-0000{1 if name in names[:5] else 2}-of-00002.safetensors" for name in names}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))


def pickled(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    torch.save(nomic_weights(), directory / "pytorch_model.bin")
    truncate(directory / "pytorch_model.bin")


def without(directory: Path) -> None:
    weights = nomic_weights()
    del weights["encoder.layers.1.mlp.fc12.weight"]
    save(directory, weights)


def renamed(directory: Path) -> None:
    save(directory, nomic_weights() | {"encoder.layers.7.norm1.bias": torch.zeros(WIDTH)})


def dangling(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    (directory / "model.safetensors").symlink_to("../../blobs/0123")


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 547310275\n"


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (
            lambda model: truncate(model / "model.safetensors"),
            r"model\.safetensors is cut off, it has \d+ of \d+ bytes",
        ),
        (lambda model: (model / "model.safetensors").write_bytes(b"\0" * 100), r"model\.safetensors has no readable"),
        (lambda model: (model / "model.safetensors").write_bytes(b""), r"model\.safetensors is empty"),
        (lambda model: (model / "model.safetensors").write_text(POINTER), r"model\.safetensors is a Git LFS pointer"),
        (lambda model: (model / "model.safetensors").unlink(), r"model\.safetensors is missing"),
        (dangling, r"model\.safetensors is a link to a file that is not there"),
        (pickled, r"pytorch_model\.bin is cut off"),
        (shard, r"model\.safetensors\.index\.json names model-00002-of-00002\.safetensors, which is not there"),
        (lambda model: truncate(model / "config.json"), r"config\.json is not JSON"),
        (lambda model: (model / "config.json").unlink(), r"config\.json and what belongs to it cannot be loaded"),
        (lambda model: (model / "tokenizer.json").write_text(""), r"tokenizer\.json is empty"),
        (lambda model: truncate(model / "1_Pooling" / "config.json"), r"1_Pooling/config\.json is not JSON"),
        (without, r"1 weights that NomicBertModel needs are missing \(such as layers\.1\.mlp\.gate_proj\.weight\)"),
        (renamed, r"1 weights have no place in NomicBertModel"),
    ],
    ids=[
        "cut off",
        "garbage",
        "empty",
        "git lfs pointer",
        "no weights",
        "dangling link",
        "cut off archive",
        "missing shard",
        "cut off configuration",
        "no configuration",
        "empty tokenizer",
        "cut off pooling",
        "a weight too few",
        "a weight too many",
    ],
)
def test_a_half_downloaded_or_foreign_model_is_refused_by_the_name_of_the_file(
    tmp_path: Path, damage: Callable[[Path], object], complaint: str
) -> None:
    directory = nomic_model(tmp_path / "model")
    damage(directory)
    with pytest.raises(ModelUnusableError, match=f"^model 'x': .*{complaint}"):
        load_modules(directory, name="x", dtype=torch.float32)


def test_files_that_torch_does_not_read_may_be_anything(tmp_path: Path) -> None:
    directory = nomic_model(tmp_path / "model")
    (directory / "onnx").mkdir()
    for name in ("onnx/model.onnx", "pytorch_model.bin", "tf_model.h5"):
        (directory / name).write_text(POINTER)
    load_modules(directory, name="x", dtype=torch.float32)


def test_sizes_other_than_the_configuration_says_are_refused(tmp_path: Path) -> None:
    directory = nomic_model(tmp_path / "model", config={"n_inner": INNER // 2})
    with pytest.raises(ModelUnusableError, match=r"weights have the wrong shape \(such as layers\.0\.mlp"):
        load_modules(directory, name="x", dtype=torch.float32)


def test_an_onnx_model_is_looked_at_before_it_is_read(tmp_path: Path) -> None:
    directory = nomic_model(tmp_path / "model")
    with pytest.raises(ModelUnusableError, match=r"'x': onnx/model\.onnx is missing; there are weights for the torch"):
        require_whole_onnx(directory, name="x")
    (directory / "onnx").mkdir()
    (directory / "onnx" / "model.onnx").write_text(POINTER)
    with pytest.raises(ModelUnusableError, match=r"onnx/model\.onnx is a Git LFS pointer"):
        require_whole_onnx(directory, name="x")
    (directory / "onnx" / "model.onnx").write_bytes(b"graph")
    require_whole_onnx(directory, name="x")
    (directory / "onnx" / "model.onnx_data").write_bytes(b"")
    with pytest.raises(ModelUnusableError, match=r"onnx/model\.onnx_data is empty"):
        require_whole_onnx(directory, name="x")


# --- From a hub cache, without a hub.

CODE = """
from pathlib import Path
from transformers import BertConfig, BertModel
Path({witness!r}).touch()

class OddConfig(BertConfig):
    model_type = "odd"

class OddModel(BertModel):
    config_class = OddConfig
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and no hub."""
    cache = tmp_path / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return cache


@pytest.fixture
def code_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that comes with models is copied to a place of the test's own."""
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "code"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))


def odd_model(directory: Path, witness: Path) -> Path:
    """A model of an architecture that exists only as code in its directory."""
    from transformers import BertConfig, BertModel

    nomic_model(directory)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
    )
    torch.manual_seed(3)
    save(directory, BertModel(config).state_dict())
    described = {
        **config.to_dict(),
        "model_type": "odd",
        "architectures": ["OddModel"],
        "auto_map": {"AutoConfig": "odd.OddConfig", "AutoModel": "odd.OddModel"},
    }
    (directory / "config.json").write_text(json.dumps(described))
    (directory / "odd.py").write_text(CODE.format(witness=str(witness)))
    return directory


@pytest.mark.usefixtures("code_cache")
def test_code_of_a_hub_model_runs_only_when_its_operator_says_so_and_pins_it(tmp_path: Path, cache: Path) -> None:
    witness = tmp_path / "the code ran"
    snapshot = hub_snapshot(cache, "owner/odd", odd_model(tmp_path / "source", witness))
    reference = parse_reference("owner/odd")
    assert isinstance(reference, HubModel)

    files = resolve(reference, hub.download)
    assert files.directory == snapshot
    assert files.revision == COMMIT
    with pytest.raises(ModelUnusableError, match=r"^model 'owner/odd': config\.json .* cannot be loaded"):
        load_modules(files.directory, name=reference.name, dtype=torch.float32)
    assert not witness.exists()

    listed = tmp_path / "catalogue.toml"
    listed.write_text(f'[models."owner/odd"]\ntrust_remote_code = true\nrevision = "{COMMIT}"\n')
    catalogue = load_catalogue(listed)
    profile = catalogue.find(reference)
    assert profile is not None
    pinned = catalogue.pinned(reference)
    files = resolve(pinned, lambda model: hub.download(model, remote_code=profile.trust_remote_code))
    transformer, _ = load_modules(
        files.directory, name=reference.name, dtype=torch.float32, trust_remote_code=profile.trust_remote_code
    )
    assert witness.exists()
    assert type(transformer.model).__name__ == "OddModel"


@pytest.mark.usefixtures("code_cache")
def test_code_of_another_repository_never_runs(tmp_path: Path) -> None:
    witness = tmp_path / "the code ran"
    directory = odd_model(tmp_path / "model", witness)
    tokenizer = directory / "tokenizer_config.json"
    tokenizer.write_text(json.dumps({"auto_map": {"AutoTokenizer": ["other/tokens--odd.Tokenizer", None]}}))
    with pytest.raises(ModelUnusableError, match=r"tokenizer_config\.json asks for the code other/tokens--odd"):
        load_modules(directory, name="x", dtype=torch.float32, trust_remote_code=True)
    assert not witness.exists()


def test_a_snapshot_whose_download_was_cut_off_is_refused(tmp_path: Path, cache: Path) -> None:
    snapshot = hub_snapshot(cache, "owner/half", nomic_model(tmp_path / "source"))
    (snapshot / "model.safetensors").unlink()
    (snapshot.parent.parent / "blobs" / "77.incomplete").write_bytes(b"half of it")
    files = resolve(HubModel("owner/half"), hub.download)
    with pytest.raises(
        ModelUnusableError, match=r"model\.safetensors is missing, its download was cut off \(77\.incom"
    ):
        load_modules(files.directory, name="owner/half", dtype=torch.float32)


@pytest.mark.usefixtures("cache")
def test_a_model_that_is_not_in_the_cache_is_unreachable_without_a_hub() -> None:
    with pytest.raises(ModelUnreachableError, match="'owner/absent': not in the local cache"):
        resolve(HubModel("owner/absent"), hub.download)
