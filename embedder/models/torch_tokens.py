"""Takes a model's tokenizer from transformers, which knows more kinds of files than we read ourselves."""

from sentence_transformers.base.modules import Transformer
from tokenizers import Tokenizer

from embedder.models.errors import ModelUnusableError
from embedder.models.tokens import PrivateTokenizer


def tokenizer_of(transformer: Transformer, *, name: str, at_most: int | None = None) -> PrivateTokenizer:
    """A copy of the tokenizer of a transformer.

    `name` is what errors call the model; `at_most` is a limit in tokens beside those that its files know. Raises
    ModelUnusableError.
    """
    original = transformer.tokenizer
    if original is None or not original.is_fast:
        raise ModelUnusableError(f"model {name!r}: has no fast tokenizer (tokenizer.json)")
    positions = getattr(transformer.model.config, "max_position_embeddings", None)
    return PrivateTokenizer(
        Tokenizer.from_str(original.backend_tokenizer.to_str()),
        name=name,
        limits=(at_most, transformer.max_seq_length, positions),
        pad_id=original.pad_token_id or 0,
        pad_left=original.padding_side == "left",
        cut_from=original.truncation_side,
    )
