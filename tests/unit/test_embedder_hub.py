"""What becomes of the hub's errors."""

from fnmatch import fnmatch
from pathlib import Path
from unittest.mock import Mock

import httpx2
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from embedder.models import hub
from embedder.models.errors import ModelUnreachableError, ModelUnusableError
from embedder.models.reference import HubModel, ModelFiles

MODEL = HubModel("owner/name", "v1")


def fetching(monkeypatch: pytest.MonkeyPatch, **behaviour: object) -> Mock:
    fetch = Mock(**behaviour)
    monkeypatch.setattr(hub, "snapshot_download", fetch)
    return fetch


def test_the_revision_is_the_commit_that_was_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "0123abcd"
    snapshot.mkdir()
    (snapshot / "model.safetensors").touch()
    fetch = fetching(monkeypatch, return_value=str(snapshot))
    assert hub.download(MODEL) == ModelFiles(snapshot, "0123abcd")
    (call,) = fetch.call_args_list
    assert call.args == ("owner/name",)
    assert call.kwargs["revision"] == "v1"
    assert not any(pattern.endswith((".py", ".bin", "*")) for pattern in call.kwargs["allow_patterns"])


def test_pickled_weights_are_fetched_only_where_there_are_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = fetching(monkeypatch, return_value=str(tmp_path))
    hub.download(HubModel("owner/name"))
    first, second = fetch.call_args_list
    assert first.kwargs["revision"] is None
    assert "pytorch_model*.bin" not in first.kwargs["allow_patterns"]
    assert "pytorch_model*.bin" in second.kwargs["allow_patterns"]


@pytest.mark.parametrize(
    ("onnx_file", "wanted"),
    [(None, "onnx/model.onnx"), ("onnx/model_fp32.onnx", "onnx/model_fp32.onnx")],
)
def test_for_the_onnx_engine_its_file_is_fetched_and_no_other_weights(
    onnx_file: str | None, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = fetching(monkeypatch, return_value=str(tmp_path))
    hub.download(MODEL, engine="onnx", onnx_file=onnx_file)
    (call,) = fetch.call_args_list
    patterns = call.kwargs["allow_patterns"]

    def fetched(name: str) -> bool:
        return any(fnmatch(name, pattern) for pattern in patterns)

    for name in (wanted, f"{wanted}_data", f"{wanted}.data", "config.json", "1_Pooling/config.json", "tokenizer.json"):
        assert fetched(name)
    for name in ("model.safetensors", "pytorch_model.bin", "onnx/model_quantized.onnx", "modeling.py"):
        assert not fetched(name)


def test_code_is_fetched_at_a_pinned_commit_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = fetching(monkeypatch, return_value=str(tmp_path))
    for engine in ("torch", "onnx"):
        hub.download(HubModel("owner/name", "0" * 40), engine=engine)
        assert not any("*.py" in call.kwargs["allow_patterns"] for call in fetch.call_args_list)
    fetch.reset_mock()
    hub.download(HubModel("owner/name", "0" * 40), remote_code=True)
    assert all("*.py" in call.kwargs["allow_patterns"] for call in fetch.call_args_list)
    fetch.reset_mock()
    with pytest.raises(ModelUnusableError, match="'owner/name': code is fetched at a pinned commit only"):
        hub.download(MODEL, remote_code=True)
    fetch.assert_not_called()


def test_a_copy_in_the_cache_that_is_not_whole_is_told_from_none(monkeypatch: pytest.MonkeyPatch) -> None:
    fetching(monkeypatch, side_effect=IncompleteSnapshotError("files are missing", snapshot_path="/cache"))
    with pytest.raises(ModelUnreachableError, match="only in part in the local cache"):
        hub.download(MODEL)


@pytest.mark.parametrize(
    "cause",
    [LocalEntryNotFoundError("offline"), httpx2.ProxyError("proxy"), TimeoutError(), OSError(28, "No space left")],
    ids=lambda cause: type(cause).__name__,
)
def test_what_cannot_be_fetched_now_is_unreachable_and_named(cause: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    fetching(monkeypatch, side_effect=cause)
    with pytest.raises(ModelUnreachableError, match=r"'owner/name' at revision 'v1'.*local directory"):
        hub.download(MODEL)


@pytest.mark.parametrize("kind", [RepositoryNotFoundError, GatedRepoError])
def test_what_the_hub_refuses_is_unusable(kind: type[RepositoryNotFoundError], monkeypatch: pytest.MonkeyPatch) -> None:
    response = httpx2.Response(404, request=httpx2.Request("GET", "https://hub.invalid"))
    fetching(monkeypatch, side_effect=kind("no", response=response))
    with pytest.raises(ModelUnusableError, match="owner/name"):
        hub.download(MODEL)
