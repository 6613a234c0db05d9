"""Make the bundled demo captures and the README's animation: `python -m utils.tools.demo_pictures`.

The animation shows consecutive pairs of a simulated scene: a rolling-shutter image, the frames made
of each pair alone, and those made with the neighbouring pairs. It plays forwards and backwards.
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
from data.simulator.scene import Scene
from data.simulator.settings import SceneSettings
from data.simulator.textures import BUNDLED_PHOTOS, load_textures
from models.arrays import load_correction
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
    height=300,
    width=400,
    camera_motion=30.0,
    object_motion=40.0,
    acceleration=10.0,
    camera_shake=8.0,
    max_objects=2,
)
_PAIRS, _FRAMES_PER_PAIR, _FPS, _WIDTH = 3, 6, 12.0, 960


def draw_animation() -> list[Image]:
    """The animation's pictures, (H, 960, 3) each."""
    scene = _draw_scene(*_ANIMATED, _ANIMATED_SETTINGS)
    pairs = [_images(scene.readout(number)) for number in range(_PAIRS)]
    times = torch.linspace(0, 1, _FRAMES_PER_PAIR + 1)[:-1].tolist()  # 1 is the next pair's 0
    correct = load_correction()
    pictures = []
    for number, together in enumerate(correct.clip(pairs, times)):
        alone = correct(*pairs[number], times)
        for frame, other, t in zip(together, alone, times, strict=True):
            captioned = [
                (pairs[number][0], f"input, pair {number}, read top to bottom"),
                (other, "corrected, each pair alone"),
                (frame, f"corrected with its neighbours, t = {number + t:.2f}"),
            ]
            sheet = draw_sheet([(captioned, 3)])
            size = (_WIDTH, round(sheet.shape[0] * _WIDTH / sheet.shape[1]))
            reduced = cv2.resize(sheet, size, interpolation=cv2.INTER_AREA)
            pictures.append(np.asarray(reduced, np.uint8))
    return [*pictures, *pictures[-2:0:-1]]


def make_samples(folder: Path) -> None:
    """Write `NAME/0_t2b.png` and `NAME/0_b2t.png` for every sample into `folder`.

    Raises:
        InputError: the folder cannot be written.
    """
    for name, (photos, seed) in SAMPLES.items():
        prepare_output_folder(folder / name)
        images = _images(_draw_scene(photos, seed, SETTINGS))
        for scan, image in zip(("t2b", "b2t"), images, strict=True):
            write_image(folder / name / f"0_{scan}.png", image)


def _draw_scene(photos: Sequence[str], seed: int, settings: SceneSettings) -> Scene:
    textures = dict(zip(BUNDLED_PHOTOS, load_textures(None), strict=True))
    return draw_scene([textures[photo] for photo in photos], settings, seed)


def _images(scene: Scene) -> tuple[Image, Image]:
    """t2b and b2t of a scene's readout."""
    capture = scene.capture([])
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
