import json
from pathlib import Path

import pytest
import torch

from data.create_rs_dataset import write_dataset
from data.rs_gopro import RSGOPRO
from data.simulator import SceneSettings, draw_scene
from utils.errors import InputError

SETTINGS = [
    SceneSettings(40, 64, camera_motion=4, object_motion=4, acceleration=1, strength=strength)
    for strength in (0.5, 1.0)
]


def textures() -> list[torch.Tensor]:
    return [torch.rand(3, 96, 128, generator=torch.Generator().manual_seed(i)) for i in range(2)]


def test_the_folder_holds_the_simulated_captures(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", textures(), SETTINGS, [7, 8, 9], frames=5)
    captures = RSGOPRO(tmp_path / "set", "test")
    assert [captures[index].name for index in range(3)] == [f"{i:04d}/00000000" for i in range(3)]
    exact = draw_scene(textures(), SETTINGS[1], 8).capture(torch.linspace(0, 1, 5))
    read = captures[1]
    for found, expected in (
        (read.t2b, exact.t2b),
        (read.b2t, exact.b2t),
        (read.truth, exact.truth),
    ):
        assert float((found - expected).abs().max()) <= 0.5 / 255 + 1e-6
    parameters = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert [parameters[name]["seed"] for name in sorted(parameters)] == [7, 8, 9]
    assert [parameters[name]["strength"] for name in sorted(parameters)] == [0.5, 1.0, 0.5]


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(InputError, match="set: exists already; name a new folder"):
        write_dataset(tmp_path / "set", textures(), SETTINGS, [7])
    assert list(tmp_path.iterdir()) == [tmp_path / "set"]


def test_an_error_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise InputError("no space left")

    monkeypatch.setattr("data.create_rs_dataset.write_image", fail)
    with pytest.raises(InputError, match="no space left"):
        write_dataset(tmp_path / "set", textures(), SETTINGS, [7])
    assert list(tmp_path.iterdir()) == []
