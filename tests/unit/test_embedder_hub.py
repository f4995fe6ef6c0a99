"""What becomes of the hub's errors."""

from pathlib import Path
from unittest.mock import Mock

import httpx2
import pytest
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

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
