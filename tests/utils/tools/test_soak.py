"""The short form of the soak."""

import pytest

from utils.tools.soak import growth_of, soak


@pytest.mark.slow
def test_a_short_soak_breaks_no_promise(capsys: pytest.CaptureFixture[str]) -> None:
    assert soak(minutes=0.5, seed=1) == []
    said = capsys.readouterr().out
    assert "runs killed\n" in said and "files refused\n" in said


def test_memory_that_is_taken_once_is_no_growth() -> None:
    assert growth_of([100.0, 131, 131]) == 0
    assert growth_of([100.0, 110, 131, 131, 131, 130, 131, 131]) == 0
    leak = [100.0 + 2 * repeat for repeat in range(40)]
    assert growth_of(leak) == 40  # from repeats 10 to 19 to repeats 30 to 39
