"""What the command line of `reembed` takes and refuses."""

import pytest

from store.command_line import parse


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        ([], "--embedder is required"),
        (["--dry-run"], "--embedder is required"),
        (["--no-swap"], "--embedder is required"),
        (["--embedder", "x:1", "--rollback", "--drop-old"], "not allowed with"),
        (["--embedder", "x:1", "--rate", "0"], "must be more than 0"),
        (["--embedder", "x:1", "--rate", "inf"], "must be more than 0"),
        (["--embedder", "x:1", "--batch", "-1"], "must be more than 0"),
        (["--embedder", "x:1", "--batch", "1.5"], "invalid"),
        (["--embedder", "x:1", "--min-recall", "1.1"], "must be in [0, 1]"),
    ],
)
def test_what_makes_no_sense_is_refused(said: list[str], answered: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["reembed", *said])

    assert ended.value.code == 2
    assert answered in capsys.readouterr().err


@pytest.mark.parametrize("said", ["--status", "--rollback", "--drop-old", "--abandon"])
def test_what_needs_no_model_needs_no_embedder(said: str) -> None:
    parsed = parse(["reembed", said])

    assert parsed is not None
    assert parsed[1].embedder is None


def test_there_are_defaults() -> None:
    parsed = parse(["reembed", "--embedder", "x:1"])

    assert parsed is not None
    assert (parsed[1].batch, parsed[1].rate, parsed[1].min_recall) == (256, None, 0.95)
