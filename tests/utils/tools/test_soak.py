"""The short form of the soak."""

import pytest

from utils.tools.soak import soak


@pytest.mark.slow
def test_a_short_soak_breaks_no_promise(capsys: pytest.CaptureFixture[str]) -> None:
    assert soak(minutes=0.5, seed=1) == []
    said = capsys.readouterr().out
    assert "runs killed\n" in said and "files refused\n" in said
