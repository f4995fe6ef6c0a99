"""What the store's command line refuses."""

import pytest

from store.__main__ import run


@pytest.mark.parametrize("harmless", ["--sql", "--check"])
def test_a_downgrade_is_never_mixed_with_an_option_that_changes_nothing(
    harmless: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["migrate", "--down", "--revision", "0001", harmless])

    assert ended.value.code == 2
    assert "--down changes the database" in capsys.readouterr().err
