"""Pictures of the same captures at every validation."""

from pathlib import Path

import cv2
import torch

from data.capture import CapturePair
from data.time_maps import scan_time
from models.generator import Generator
from tests.helpers.tiny_training import tiny_options, train
from utils.options.training import TrainingOptions
from utils.training.records.pictures import keep_picture, validation_pictures


def capture(level: float, times: list[float] | None) -> CapturePair:
    image = torch.full((3, 32, 40), level)
    truth = None if times is None else torch.stack([torch.full_like(image, t) for t in times])
    truth_times = None if times is None else torch.tensor(times)
    return CapturePair(image, image / 2, scan_time(32), f"a/{level}", truth, truth_times)


def test_inputs_the_middle_frame_and_its_truth_side_by_side() -> None:
    captures = [capture(0.25, [0.0, 0.5, 1.0]), capture(0.5, None), capture(0.75, [0.0, 1.0])]
    network = Generator(3, 8, 0.04).train()
    found = dict(validation_pictures(network, captures, 9))
    assert network.training
    assert [picture.shape for picture in found.values()] == [(3, 32, n * 40) for n in (4, 3, 3)]
    first = found["a/0.25"]
    assert (first[..., :40] == 0.25).all()
    assert (first[..., 40:80] == 0.125).all()
    assert (first[..., 120:] == 0.5).all()
    assert list(dict(validation_pictures(network, captures, 1))) == ["a/0.5"]


def test_a_picture_is_kept_by_step(tmp_path: Path) -> None:
    picture = torch.zeros(3, 4, 6)
    picture[0, 0] = 1  # the top row is red
    path = keep_picture(tmp_path, "a/00000003", 70, picture)
    assert path == tmp_path / "a" / "00000003" / "step_00000070.png"
    assert cv2.imread(str(path))[0, 0].tolist() == [0, 0, 255]


def test_a_run_keeps_pictures_at_every_validation(tmp_path: Path) -> None:
    content = tiny_options(tmp_path, iterations=2, checkpoint_test=1).model_dump()
    content["datasets"]["valid"]["images"] = 5
    train(TrainingOptions.model_validate(content))
    kept = sorted((tmp_path / "tiny" / "validation").rglob("*.png"))
    folder = tmp_path / "tiny" / "validation" / "simulated" / "0000"
    assert kept == [folder / f"step_{step:08d}.png" for step in (1, 2)]
    assert cv2.imread(str(kept[0])).shape == (32, 4 * 32, 3)
