"""What operators write about models, and what they are told when it is wrong."""

from pathlib import Path

import pytest

from embedder.domain import InputKind
from embedder.models.catalogue import Catalogue, ModelProfile
from embedder.models.catalogue_file import load_catalogue
from embedder.models.errors import ModelUnusableError
from embedder.models.reference import HubModel, parse_reference

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def catalogue(tmp_path: Path, text: str) -> Catalogue:
    path = tmp_path / "catalogue.toml"
    path.write_text(text)
    return load_catalogue(path)


def test_without_a_file_there_is_what_is_built_in() -> None:
    profile = load_catalogue(None).find(HubModel("nomic-ai/nomic-embed-text-v1.5"))
    assert profile is not None
    assert profile.shortest == 64


def test_an_empty_file_is_a_catalogue_without_entries(tmp_path: Path) -> None:
    assert catalogue(tmp_path, "").find(HubModel("owner/name")) is None


def test_every_field_of_an_entry_arrives(tmp_path: Path) -> None:
    found = catalogue(
        tmp_path,
        f"""
        [models."Owner/Name"]
        query_prefix = "query: "
        document_prefix = "passage: "
        shortest = 128
        engine = "onnx"
        onnx_file = "onnx/model_fp32.onnx"
        pooling = "cls"
        max_tokens = 512
        trust_remote_code = true
        revision = "{COMMIT}"
        """,
    ).find(HubModel("owner/name"))
    assert found == ModelProfile(
        {InputKind.QUERY: "query: ", InputKind.DOCUMENT: "passage: "},
        shortest=128,
        engine="onnx",
        onnx_file="onnx/model_fp32.onnx",
        pooling="cls",
        max_tokens=512,
        trust_remote_code=True,
        revision=COMMIT,
    )


def test_entries_are_for_hub_ids_directories_and_packages(tmp_path: Path) -> None:
    read = catalogue(
        tmp_path,
        """
        [models."owner/name"]
        max_tokens = 10
        [models."/models/some"]
        max_tokens = 20
        [models."package:some_model"]
        max_tokens = 30
        """,
    )
    found = [read.find(parse_reference(text)) for text in ("owner/name", "/models/some", "package:some_model")]
    assert [profile and profile.max_tokens for profile in found] == [10, 20, 30]


def test_an_empty_prefix_takes_a_known_one_away(tmp_path: Path) -> None:
    read = catalogue(tmp_path, '[models."nomic-ai/CodeRankEmbed"]\nquery_prefix = ""\n')
    profile = read.find(HubModel("nomic-ai/CodeRankEmbed"))
    assert profile is not None
    assert profile.prefixes[InputKind.QUERY] == ""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[models", "not TOML"),
        ('[model."owner/name"]', "^catalogue .*catalogue.toml: model: Extra inputs are not permitted"),
        ('[models."owner/name"]\nprefix = ""', "'owner/name' prefix: Extra inputs are not permitted"),
        ('[models."owner/name"]\nshortest = 0', "'owner/name' shortest: Input should be greater than or equal to 1"),
        ('[models."owner/name"]\nshortest = "64"', "'owner/name' shortest: Input should be a valid integer"),
        ('[models."owner/name"]\nmax_tokens = 2', "'owner/name' max_tokens: Input should be greater"),
        ('[models."owner/name"]\nengine = "tensorrt"', "'owner/name' engine: Input should be 'torch' or 'onnx'"),
        ('[models."owner/name"]\npooling = "average"', "'owner/name' pooling: Input should be 'cls', 'max', 'mean'"),
        ('[models."owner/name"]\nonnx_file = "../model.onnx"', "'owner/name' onnx_file: must be the path of an .onnx"),
        ('[models."owner/name"]\nonnx_file = "/model.onnx"', "'owner/name' onnx_file: must be the path of an .onnx"),
        ('[models."owner/name"]\nonnx_file = "model.bin"', "'owner/name' onnx_file: must be the path of an .onnx"),
        ('[models."owner/name"]\nrevision = "a b"', "'owner/name' revision: String should match"),
        ('[models."owner/name@main"]\nshortest = 64', "'owner/name@main': the revision goes into the field"),
        ('[models."name"]\nshortest = 64', "model 'name': neither a hub id"),
        ('[models."a/b"]\nshortest = 1\n[models."A/B"]\nshortest = 2', "'a/b' and 'A/B' are the same model"),
        (
            '[models."owner/name"]\ntrust_remote_code = 1',
            "'owner/name' trust_remote_code: Input should be a valid bool",
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_entry_and_the_field(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ModelUnusableError, match=complaint):
        catalogue(tmp_path, text)


@pytest.mark.parametrize(
    "revision", ["", 'revision = "main"', f'revision = "{COMMIT[:12]}"', f'revision = "{COMMIT}0"']
)
def test_code_is_trusted_at_a_full_commit_only(tmp_path: Path, revision: str) -> None:
    with pytest.raises(
        ModelUnusableError, match="'owner/name': trust_remote_code wants `revision` to be a full commit"
    ):
        catalogue(tmp_path, f'[models."owner/name"]\ntrust_remote_code = true\n{revision}\n')


@pytest.mark.parametrize("reference", ["/models/some", "package:some_model"])
def test_code_is_trusted_from_the_hub_only(tmp_path: Path, reference: str) -> None:
    with pytest.raises(ModelUnusableError, match=f"'{reference}': trust_remote_code and revision are for hub ids"):
        catalogue(tmp_path, f'[models."{reference}"]\ntrust_remote_code = true\nrevision = "{COMMIT}"\n')


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusableError, match=r"absent\.toml: cannot be read: No such file"):
        load_catalogue(tmp_path / "absent.toml")
