import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from data.dataset_writer.folder import (
    new_dataset,
    new_sequences,
    read_strengths,
    write_description,
)
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


RUN = '{"runs": [{"split": SPLIT, "versions": {}, "sequences": {NAME: {"strength": STRENGTH}}}]}'


@pytest.mark.parametrize(
    ("split", "name", "strength"),
    [
        *(('"../test"', '"a"', "1"), ('"test"', '"/a"', "1"), ('"te\\u0000st"', '"a"', "1")),
        *(('"test"', '"a"', '"1"'), ('"test"', '"a"', "[]"), ('"test"', '"a"', "{}")),
        *(('"test"', '"a"', '[1, "2"]'), ('"test"', '"a"', "true"), ("[]", '"a"', "1")),
    ],
)
def test_a_description_of_wrong_types_is_refused(
    tmp_path: Path, split: str, name: str, strength: str
) -> None:
    (tmp_path / "test" / "a").mkdir(parents=True)
    text = RUN.replace("SPLIT", split).replace("NAME", name).replace("STRENGTH", strength)
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(InputError, match="dataset.json: not a description of a data set"):
        read_strengths(tmp_path, "test")


def test_a_pipe_in_place_of_the_description_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "dataset.json")
    with pytest.raises(InputError, match="expected a regular file, got a pipe"):
        read_strengths(tmp_path, "test")


@pytest.mark.parametrize("text", ["{", "[]", '{"runs": 3}', '{"runs": [{"sequences": {"a": 1}}]}'])
def test_a_damaged_description_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(InputError, match="dataset.json: not a description of a data set"):
        read_strengths(tmp_path, "test")


def test_an_interrupted_writer_says_what_is_kept(tmp_path: Path) -> None:
    describe(tmp_path / "old", {"0000": {"seed": 3}})
    before = sorted(tmp_path.rglob("*"))
    for folder in (
        new_dataset(tmp_path / "new"),
        new_sequences(tmp_path / "old", "test", ["0001"]),
    ):
        said = pytest.raises(KeyboardInterrupt, match="(new|old): nothing of this run is kept; the")
        with said, folder as unfinished:
            (unfinished / "half").mkdir()
            raise KeyboardInterrupt
    assert sorted(tmp_path.rglob("*")) == before
