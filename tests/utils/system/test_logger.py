"""What a run logs, where."""

from pathlib import Path

import pytest
from tqdm import tqdm

from utils.system.logger import open_log


def test_a_log_goes_to_the_file_and_above_the_progress_bar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_log(tmp_path / "train.log") as log, tqdm(total=2, desc="steps"):
        log.info("step %d", 1)
    assert (tmp_path / "train.log").read_text().endswith(" INFO step 1\n")
    said = capsys.readouterr().err
    assert "\nstep 1\n" in said.replace("\r", "\n") and "steps:" in said
    log.info("closed")
    assert "closed" not in (tmp_path / "train.log").read_text() + capsys.readouterr().err


def test_a_quiet_log_says_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    with open_log(None, quiet=True) as log:
        log.info("a step")
        log.warning("no gradient")
    assert capsys.readouterr().err == "no gradient\n"
