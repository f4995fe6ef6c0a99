"""Reads the configuration of nomic_bert repositories from the time before transformers knew the architecture.

They name sizes as GPT-2 does. The class in transformers 5 does not know these names, and would silently take its
defaults: those of nomic-embed-text-v1.5.
"""

from collections.abc import Mapping
from typing import Any

from embedder.models.errors import ModelUnusableError

_NAMES = {
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_inner": "intermediate_size",
    "layer_norm_epsilon": "layer_norm_eps",
    # Beyond these the remote code stretched the rotary embedding, which the class in transformers does not.
    "max_trained_positions": "max_position_embeddings",
}

#: What the class in transformers always does; the remote code could be told otherwise without other weights.
_FIXED: Mapping[str, tuple[Any, ...]] = {
    "activation_function": ("swiglu",),
    "prenorm": (False, None),
    "parallel_block": (False, None),
    "causal": (False, None),
    "use_rms_norm": (False, None),
    "rotary_emb_fraction": (1.0,),
    "rotary_emb_interleaved": (False, None),
    "rotary_emb_scale_base": (None,),
}


def native_settings(config: Mapping[str, Any], *, name: str) -> dict[str, Any]:
    """What `config.json` says, under the names of transformers; empty where it uses those already.

    Sources: configuration_hf_nomic_bert.py in nomic-ai/nomic-bert-2048 and NomicBertConfig in transformers 5.
    Raises ModelUnusableError for variants of the architecture that the class in transformers does not have.
    """
    if config.get("model_type") != "nomic_bert" or "n_embd" not in config or "hidden_size" in config:
        return {}
    for key, allowed in _FIXED.items():
        if key in config and config[key] not in allowed:
            raise ModelUnusableError(
                f"model {name!r}: config.json says {key} = {config[key]!r}, "
                "which the nomic_bert of transformers does not have"
            )
    settings = {new: config[old] for old, new in _NAMES.items() if config.get(old) is not None}
    # transformers works the width of a head out before it is told these sizes.
    settings["head_dim"] = config["n_embd"] // config.get("n_head", 12)
    settings.setdefault("intermediate_size", 4 * config["n_embd"])
    base = config.get("rotary_emb_base")
    if base is not None:
        settings["rope_parameters"] = {"rope_type": "default", "rope_theta": float(base)}
    return settings
