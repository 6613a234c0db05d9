"""The weight files that come with the code do what they are for, and are those of the table."""

import hashlib
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from data.capture import CapturePair
from data.simulator.drawing import draw_scene
from data.simulator.settings import SceneSettings
from data.simulator.textures import load_textures
from data.training.flow_pairs import FlowPairs
from models.classical.estimation import estimate_motion
from models.flow.networks import load_flow
from models.inference.correction import AS_TRAINED, BASELINES
from models.measurement.flow_measurement import to_pixels
from models.measurement.scan import Scan
from models.refiner.network import Refiner
from models.weight_files import CHECKSUM, read_architecture, read_state
from tests.helpers.frames import network_frames
from utils.checkpoint import load_generator
from utils.errors import InputError

FOLDER = Path("pretrained")
SCENE = SceneSettings(height=192, width=320, camera_motion=20, object_motion=30, acceleration=0)
FAST_SCENE = SceneSettings(
    height=288, width=480, camera_motion=40, object_motion=60, acceleration=8
)
TIMES = [0.0, 0.5, 1.0]


def of(capture: CapturePair) -> tuple[Tensor, list[float]]:
    assert capture.truth_times is not None
    return capture.pair, capture.truth_times.tolist()


def mean_psnr(frames: Tensor, capture: CapturePair) -> float:
    assert capture.truth is not None
    error = (frames - capture.truth).square().flatten(1).mean(1)
    return float((-10 * torch.log10(error)).mean())


def test_the_generator_gains_much_over_the_mean_of_the_inputs() -> None:
    capture = draw_scene(load_textures(None), SCENE, 7_000_001).capture(TIMES)
    mean = mean_psnr(BASELINES["mean of both"](capture.pair, TIMES).frames, capture)
    frames = network_frames(
        load_generator(FOLDER / "drsc_light_generator.safetensors"), *of(capture)
    )
    assert mean_psnr(frames, capture) > mean + 4


def test_the_refiner_gains_over_its_untrained_self_at_both_ends() -> None:
    """Untrained it is the classical correction; measured: 0.46 and 0.99 dB."""
    networks = load_generator(FOLDER / "drsc_light.safetensors"), Refiner(width=0.5).eval()
    gains = []
    for seed in (7_000_001, 7_000_002):
        capture = draw_scene(load_textures(None), FAST_SCENE, seed).capture([0.0, 1.0])
        motion = estimate_motion(*to_pixels(capture.pair), Scan.of(None, capture.height))
        trained, untrained = (
            mean_psnr(
                network_frames(network, *of(capture), motion=motion, settings=AS_TRAINED), capture
            )
            for network in networks
        )
        gains.append(trained - untrained)
    assert sum(gains) / len(gains) > 0.4


def test_flow_errs_by_less_than_a_fifth_of_the_motion() -> None:
    scenes = SceneSettings(height=384, width=640, strength=(0.1, 1.0))
    pairs = FlowPairs(load_textures(None), scenes, count=1, seed=2_000_000)
    samples = [pairs[index] for index in range(len(pairs))]
    first, second, true = (torch.stack([sample[field] for sample in samples]) for field in range(3))
    with torch.inference_mode():
        flow = load_flow("pretrained/pwcnet.safetensors")(first, second)
    assert (flow - true).norm(dim=1).mean() < 0.2 * true.norm(dim=1).mean()


def test_the_table_lists_every_file_with_its_digest() -> None:
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\S+\.safetensors)`.*`(\w{16})` \|$", table, re.MULTILINE))
    found = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        for file in FOLDER.glob("*.safetensors")
    }
    assert listed == found


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.safetensors")), ids=lambda file: file.name)
def test_a_flipped_bit_of_a_bundled_file_is_refused(file: Path, tmp_path: Path) -> None:
    assert re.fullmatch("[0-9a-f]{64}", read_architecture(file)[CHECKSUM])
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / file.name
    damaged.write_bytes(content)
    with pytest.raises(InputError, match="damaged: its checksum differs; copy it again"):
        read_state(damaged)
