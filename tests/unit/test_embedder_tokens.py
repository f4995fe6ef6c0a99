"""Texts to token ids without torch: as the model's own tokenizer does it, and safe for threads."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from embedder.models.engine import Tokenized
from embedder.models.errors import ModelUnusableError
from embedder.models.token_files import read_tokenizer
from embedder.models.tokens import PrivateTokenizer
from tests.fixtures_embedder import MINILM, rewrite

TEXTS = [
    "hello",
    "",
    "Ünïcödé, 日本語のテキスト, emoji 🙂🙃 and שלום",
    "  leading and trailing blanks \n\n",
    "UPPER case",
    "def f(x: int) -> int:\n    return x + 1\n",
    "the quick brown fox jumps over the lazy dog " * 60,
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of what MiniLM's tokenizer is made of, without the weights."""
    return Path(shutil.copytree(MINILM, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors")))


@pytest.fixture(scope="module")
def minilm() -> PrivateTokenizer:
    return read_tokenizer(MINILM, name="minilm")


def test_counts_and_cuts_agree_with_the_tokenizer_of_transformers(minilm: PrivateTokenizer) -> None:
    original: Any = AutoTokenizer.from_pretrained(str(MINILM))
    for text, item in zip(TEXTS, minilm(TEXTS), strict=True):
        assert list(item.ids) == original(text, truncation=True, max_length=256)["input_ids"]
        assert item.count == len(original(text, verbose=False)["input_ids"])
    assert [item.truncated for item in minilm(TEXTS)] == [False] * 6 + [True]


def test_neither_torch_nor_transformers_is_imported() -> None:
    script = (
        "import sys; from pathlib import Path; from embedder.models.token_files import read_tokenizer;"
        f"read_tokenizer(Path({str(MINILM)!r}), name='m')(['x']);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'sentence_transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_many_threads_get_what_one_gets(minilm: PrivateTokenizer) -> None:
    batches = [TEXTS[index:] + TEXTS[:index] for index in range(len(TEXTS))] * 8
    expected = [minilm(batch) for batch in batches]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(minilm, batches)) == expected


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one narrow layer."""
    from transformers import BertConfig, BertModel

    directory = tmp_path_factory.mktemp("bert")
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertModel(config).save_pretrained(directory)
    return directory


@pytest.mark.parametrize("named", ["BertTokenizer", "PreTrainedTokenizerFast", None])
@pytest.mark.parametrize("in_config", [True, False, None])
@pytest.mark.parametrize("in_tokenizer", [True, False])
@pytest.mark.parametrize("in_sentence_config", [True, False])
def test_letter_case_is_kept_where_sentence_transformers_keep_it(  # noqa: PLR0917 - the cases
    directory: Path,
    weights: Path,
    named: str | None,
    in_config: bool | None,
    in_tokenizer: bool,
    in_sentence_config: bool,
) -> None:
    from sentence_transformers.base.modules import Transformer

    content = json.loads((directory / "tokenizer.json").read_text())
    content["normalizer"]["lowercase"] = in_tokenizer
    (directory / "tokenizer.json").write_text(json.dumps(content))
    config = json.loads((directory / "tokenizer_config.json").read_text()) | {
        "tokenizer_class": named,
        "do_lower_case": in_config,
    }
    config = {key: value for key, value in config.items() if value is not None}
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    rewrite(directory / "sentence_bert_config.json", do_lower_case=in_sentence_config)
    shutil.copytree(weights, directory, dirs_exist_ok=True)
    original: Any = Transformer(str(directory), max_seq_length=256, do_lower_case=in_sentence_config).tokenizer
    mine = read_tokenizer(directory, name="m")(["MIXED Case"])[0]
    assert list(mine.ids) == original("MIXED Case")["input_ids"]


@pytest.mark.parametrize(
    ("sentence", "tokenizer", "positions", "at_most", "expected"),
    [
        (256, 512, 512, None, 256),
        (8_192, 8_192, 64, None, 64),
        (None, 128, 512, None, 128),
        (None, 10**30, 512, None, 512),
        (256, 512, 512, 100, 100),
        (None, 10**30, None, 77, 77),
    ],
)
def test_the_limit_is_the_smallest_of_what_is_known(  # noqa: PLR0917 - the cases
    directory: Path,
    sentence: int | None,
    tokenizer: int,
    positions: int | None,
    at_most: int | None,
    expected: int,
) -> None:
    rewrite(directory / "sentence_bert_config.json", max_seq_length=sentence)
    rewrite(directory / "tokenizer_config.json", model_max_length=tokenizer)
    rewrite(directory / "config.json", max_position_embeddings=positions)
    made = read_tokenizer(directory, name="m", at_most=at_most)
    assert made.max_tokens == expected
    assert len(made(["word " * 1_000])[0].ids) == expected


def test_positions_that_begin_after_the_padding_are_not_counted_as_tokens(directory: Path) -> None:
    rewrite(directory / "sentence_bert_config.json", max_seq_length=None)
    rewrite(directory / "tokenizer_config.json", model_max_length=10**30, pad_token="[unused0]")  # id 1, as in RoBERTa
    rewrite(directory / "config.json", max_position_embeddings=514, model_type="xlm-roberta")
    assert read_tokenizer(directory, name="m").max_tokens == 512


def test_no_known_limit_is_refused(directory: Path) -> None:
    rewrite(directory / "sentence_bert_config.json", max_seq_length=None)
    rewrite(directory / "tokenizer_config.json", model_max_length=10**30)
    rewrite(directory / "config.json", max_position_embeddings=None)
    with pytest.raises(ModelUnusableError, match="'owner/m': its files do not say how many tokens"):
        read_tokenizer(directory, name="owner/m")


@pytest.mark.parametrize("content", ["", "{", '{"model": {"type": "None"}}'])
def test_a_tokenizer_that_cannot_be_read_is_refused(directory: Path, content: str) -> None:
    (directory / "tokenizer.json").write_text(content)
    with pytest.raises(ModelUnusableError, match=r"'owner/m': tokenizer\.json cannot be read"):
        read_tokenizer(directory, name="owner/m")


def test_a_model_without_tokenizer_is_refused(directory: Path) -> None:
    (directory / "tokenizer.json").unlink()
    with pytest.raises(ModelUnusableError, match=r"no fast tokenizer \(tokenizer\.json\)"):
        read_tokenizer(directory, name="m")


ALL = ("input_ids", "attention_mask", "token_type_ids", "position_ids")


def test_a_batch_is_padded_to_its_longest_on_the_right(minilm: PrivateTokenizer) -> None:
    features = minilm.pad([[101, 7, 102], [101, 102]], ALL)
    np.testing.assert_array_equal(features["input_ids"], [[101, 7, 102], [101, 102, 0]])
    np.testing.assert_array_equal(features["attention_mask"], [[1, 1, 1], [1, 1, 0]])
    np.testing.assert_array_equal(features["token_type_ids"], np.zeros((2, 3)))
    np.testing.assert_array_equal(features["position_ids"][0], [0, 1, 2])


def test_a_batch_is_padded_on_the_left_with_the_models_own_token_where_it_says_so(directory: Path) -> None:
    rewrite(directory / "tokenizer_config.json", padding_side="left", pad_token={"content": "[MASK]"})
    features = read_tokenizer(directory, name="m").pad([[101, 7, 102], [101, 102]], ALL)
    np.testing.assert_array_equal(features["input_ids"], [[101, 7, 102], [103, 101, 102]])
    np.testing.assert_array_equal(features["attention_mask"][1], [0, 1, 1])
    np.testing.assert_array_equal(features["position_ids"][1], [0, 0, 1])


def test_only_what_is_wanted_is_made(minilm: PrivateTokenizer) -> None:
    assert set(minilm.pad([[101, 102]], {"input_ids"})) == {"input_ids"}


def test_a_text_may_be_cut_at_its_beginning(directory: Path) -> None:
    rewrite(directory / "tokenizer_config.json", truncation_side="left")
    rewrite(directory / "sentence_bert_config.json", max_seq_length=5)
    words = read_tokenizer(directory, name="m")
    whole = read_tokenizer(MINILM, name="m")(["one two three four five"])[0].ids
    assert words(["one two three four five"]) == [Tokenized([whole[0], *whole[-4:-1], whole[-1]], 7)]
