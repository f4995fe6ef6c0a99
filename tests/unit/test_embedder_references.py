"""What operators write for a model, and which files that means."""

import sys
from pathlib import Path

import pytest

from embedder.models.errors import ModelUnreachableError, ModelUnusableError
from embedder.models.reference import HubModel, LocalModel, ModelFiles, PackagedModel, parse_reference, resolve
from tests.fixtures_embedder import MINILM, PACKAGE


def no_download(model: HubModel) -> ModelFiles:
    raise AssertionError(f"{model} was fetched")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nomic-ai/nomic-embed-text-v1.5", HubModel("nomic-ai/nomic-embed-text-v1.5")),
        ("owner/name@main", HubModel("owner/name", "main")),
        ("owner/name@refs/pr/5", HubModel("owner/name", "refs/pr/5")),
        ("/models/some", LocalModel("/models/some")),
        ("./some", LocalModel("./some")),
        ("~/some", LocalModel("~/some")),
        (PACKAGE, PackagedModel(PACKAGE)),
        ("  package:a.b  ", PackagedModel("package:a.b")),
    ],
)
def test_references_are_told_apart(text: str, expected: object) -> None:
    assert parse_reference(text) == expected


def test_an_existing_directory_is_a_directory_even_when_it_looks_like_a_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert parse_reference("owner/name") == LocalModel("owner/name")


@pytest.mark.parametrize(
    "text", ["", "name", "a/b/c", "owner/name@", "package:", "package:a-b", "package:../x", "https://x/y"]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ModelUnusableError, match="model"):
        parse_reference(text)


def test_the_packaged_model_is_found_by_the_function_of_its_package() -> None:
    assert resolve(parse_reference(PACKAGE), no_download).directory == MINILM


def test_a_package_may_carry_its_model_in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "trimem_test_carrier" / "model"
    model.mkdir(parents=True)
    (model.parent / "__init__.py").touch()
    (model / "modules.json").write_text("[]")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert resolve(parse_reference("package:trimem_test_carrier"), no_download).directory == model
    finally:
        sys.modules.pop("trimem_test_carrier", None)


@pytest.mark.parametrize(
    ("package", "complaint"),
    [
        ("trimem_test_absent", "is not installed"),
        ("trimem_test_absent.inner", "is not installed"),
        ("json", "no model"),
    ],
)
def test_packages_without_a_model_are_refused(package: str, complaint: str) -> None:
    with pytest.raises(ModelUnusableError, match=complaint):
        resolve(parse_reference(f"package:{package}"), no_download)


def test_a_package_that_does_not_import_is_not_called_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trimem_test_broken.py").write_text("import trimem_test_absent")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelUnusableError, match="cannot be imported"):
        resolve(parse_reference("package:trimem_test_broken"), no_download)


def test_a_directory_must_exist_and_hold_a_sentence_transformers_model(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusableError, match="no such directory"):
        resolve(LocalModel(str(tmp_path / "absent")), no_download)
    with pytest.raises(ModelUnusableError, match=r"no modules\.json"):
        resolve(LocalModel(str(tmp_path)), no_download)


def test_hub_models_are_fetched_at_their_revision() -> None:
    asked = []

    def download(model: HubModel) -> ModelFiles:
        asked.append(model)
        return ModelFiles(MINILM, "abc")

    assert resolve(parse_reference("owner/name@v1"), download) == ModelFiles(MINILM, "abc")
    assert asked == [HubModel("owner/name", "v1")]


def test_an_unreachable_hub_is_worth_a_retry() -> None:
    assert ModelUnreachableError("no").retry_after
    assert ModelUnusableError("no").retry_after is None


def test_a_directory_without_modules_is_a_model_once_it_is_known_how_it_pools(tmp_path: Path) -> None:
    assert resolve(LocalModel(str(tmp_path)), no_download, pooling="cls").directory == tmp_path


def test_two_ways_to_pool_are_one_too_many() -> None:
    assert resolve(parse_reference(PACKAGE), no_download, pooling="mean").directory == MINILM
    with pytest.raises(ModelUnusableError, match=r"pools by cls, its 1_Pooling/config\.json says mean"):
        resolve(parse_reference(PACKAGE), no_download, pooling="cls")
