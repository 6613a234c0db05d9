import json
from pathlib import Path

import pytest

from utils.errors import InputError
from utils.strengths import read_strengths


def test_strengths_of_simulated_sequences_in_words(tmp_path: Path) -> None:
    sequences = {
        "0000": {"strength": 0.25},
        "0001": {"strength": 1.0},
        "0002": {"strength": [0.5, 1]},
    }
    (tmp_path / "dataset.json").write_text(json.dumps({"sequences": sequences}))
    assert read_strengths(tmp_path) == {"0000": "0.25", "0001": "1", "0002": "0.5-1"}


def test_other_data_sets_tell_none(tmp_path: Path) -> None:
    assert read_strengths(tmp_path) == {}
    for description in ({"kind": "recorded"}, {"sequences": {"0000": {"seed": 3}}}):
        (tmp_path / "dataset.json").write_text(json.dumps(description))
        assert read_strengths(tmp_path) == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"sequences": 3}', '{"sequences": {"a": 1}}'])
def test_a_damaged_description_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(InputError, match="dataset.json: not a description of a data set"):
        read_strengths(tmp_path)
