"""Make the bundled demo captures and the README's animation: `python -m utils.tools.demo_pictures`.

The animation shows both rolling-shutter images of a simulated scene beside the frames of the
default correction, played forwards and backwards.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from data.files.folders import prepare_output_folder
from data.files.images import Image, to_uint8, write_image
from data.files.videos import write_gif
from data.simulator.drawing import draw_scene
from data.simulator.settings import SceneSettings
from data.simulator.textures import BUNDLED_PHOTOS, load_textures
from models.inference.arrays import load_correction
from utils.options.command_line import run
from utils.pictures.contact_sheet import draw_sheet

SAMPLES = {
    "astronaut": (("astronaut.png", "coffee.png"), 204),
    "coffee": (("coffee.png", "chelsea.png"), 1240),
}
"""Photos of the demo captures, and seeds chosen by eye."""
SETTINGS = SceneSettings(
    height=288, width=384, camera_motion=26.0, object_motion=24.0, acceleration=4.0, max_objects=1
)
_ANIMATED = (("rocket.jpg", "motorcycle_left.png"), 8)
_ANIMATED_SETTINGS = SceneSettings(
    height=360, width=480, camera_motion=44.0, object_motion=60.0, acceleration=2.0, max_objects=2
)
_FRAMES, _FPS, _WIDTH = 13, 12.0, 960


def draw_animation() -> list[Image]:
    """The animation's pictures, (H, 960, 3) each."""
    t2b, b2t = _draw_capture(*_ANIMATED, _ANIMATED_SETTINGS)
    times = torch.linspace(0, 1, _FRAMES).tolist()
    pictures = []
    for frame, t in zip(load_correction()(t2b, b2t, times), times, strict=True):
        captioned = [
            (t2b, "input, read top to bottom"),
            (b2t, "input, read bottom to top"),
            (frame, f"corrected, t = {t:.2f}"),
        ]
        sheet = draw_sheet([(captioned, 3)])
        size = (_WIDTH, round(sheet.shape[0] * _WIDTH / sheet.shape[1]))
        pictures.append(np.asarray(cv2.resize(sheet, size, interpolation=cv2.INTER_AREA), np.uint8))
    return [*pictures, *pictures[-2:0:-1]]


def make_samples(folder: Path) -> None:
    """Write `NAME/0_t2b.png` and `NAME/0_b2t.png` for every sample into `folder`.

    Raises:
        InputError: the folder cannot be written.
    """
    for name, (photos, seed) in SAMPLES.items():
        prepare_output_folder(folder / name)
        for scan, image in zip(("t2b", "b2t"), _draw_capture(photos, seed, SETTINGS), strict=True):
            write_image(folder / name / f"0_{scan}.png", image)


def _draw_capture(photos: Sequence[str], seed: int, settings: SceneSettings) -> tuple[Image, Image]:
    textures = dict(zip(BUNDLED_PHOTOS, load_textures(None), strict=True))
    capture = draw_scene([textures[photo] for photo in photos], settings, seed).capture([])
    return to_uint8(capture.t2b), to_uint8(capture.b2t)


def main() -> None:
    """Read the command line and write the animation and the samples."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    root = Path(__file__).parents[2]
    animation, samples = root / "docs" / "before_after.gif", root / "data" / "samples"
    parser.add_argument("--animation", type=Path, default=animation, help="default: %(default)s")
    parser.add_argument("--samples", type=Path, default=samples, help="default: %(default)s")
    arguments = parser.parse_args()
    make_samples(arguments.samples)
    write_gif(arguments.animation, draw_animation(), _FPS)


if __name__ == "__main__":
    run(main)
