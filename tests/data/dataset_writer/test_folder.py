from collections.abc import Mapping
from pathlib import Path

import pytest

from data.dataset_writer.folder import read_strengths, write_description
from utils.errors import InputError


def describe(dataset: Path, sequences: Mapping[str, Mapping[str, object]]) -> None:
    for name in sequences:
        (dataset / "test" / name).mkdir(parents=True)
    write_description(dataset, "test", sequences)


def test_strengths_of_simulated_sequences_as_text(tmp_path: Path) -> None:
    sequences: dict[str, dict[str, object]] = {
        "0000": {"strength": 0.25},
        "0001": {"strength": 1.0},
        "0002": {"strength": [0.5, 1]},
    }
    describe(tmp_path, sequences)
    assert read_strengths(tmp_path, "test") == {"0000": "0.25", "0001": "1", "0002": "0.5-1"}
    assert read_strengths(tmp_path, "train") == {}


def test_data_sets_without_strengths(tmp_path: Path) -> None:
    assert read_strengths(tmp_path, "test") == {}
    describe(tmp_path, {"0000": {"seed": 3}})
    assert read_strengths(tmp_path, "test") == {}
    (tmp_path / "dataset.json").write_text('{"name": "another program\'s"}')
    assert read_strengths(tmp_path, "test") == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"runs": 3}', '{"runs": [{"sequences": {"a": 1}}]}'])
def test_a_damaged_description_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(InputError, match="dataset.json: not a description of a data set"):
        read_strengths(tmp_path, "test")
