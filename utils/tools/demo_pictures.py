"""Make the README's before/after animation: `python -m utils.tools.demo_pictures [--output FILE]`.

Both rolling-shutter images of a simulated scene stand beside the frames that the bundled weights
make of them, forth and back.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from data.files.images import to_uint8, write_gif
from data.simulator.drawing import SceneSettings, draw_scene
from data.simulator.textures import BUNDLED_PHOTOS, load_textures
from models.inference.arrays import load_correction
from utils.metrics import Image
from utils.pictures.contact_sheet import draw_sheet

_PHOTOS, _SEED = ("rocket.jpg", "motorcycle_left.png"), 8  # picked by eye
_SETTINGS = SceneSettings(
    height=360, width=480, camera_motion=44.0, object_motion=60.0, acceleration=2.0, max_objects=2
)
_FRAMES, _FPS, _WIDTH = 13, 12.0, 960


def draw_animation() -> list[Image]:
    """The animation's pictures, (H, 960, 3) each."""
    photos = dict(zip(BUNDLED_PHOTOS, load_textures(None), strict=True))
    scene = draw_scene([photos[name] for name in _PHOTOS], _SETTINGS, _SEED)
    capture = scene.capture([])
    t2b, b2t = to_uint8(capture.t2b), to_uint8(capture.b2t)
    times = torch.linspace(0, 1, _FRAMES).tolist()
    pictures = []
    for frame, t in zip(load_correction()(t2b, b2t, times), times, strict=True):
        captioned = [
            (t2b, "input, read top to bottom"),
            (b2t, "input, read bottom to top"),
            (frame, f"corrected, t = {t:.2f}"),
        ]
        sheet = draw_sheet([captioned], columns=3)
        size = (_WIDTH, round(sheet.shape[0] * _WIDTH / sheet.shape[1]))
        pictures.append(np.asarray(cv2.resize(sheet, size, interpolation=cv2.INTER_AREA), np.uint8))
    return [*pictures, *pictures[-2:0:-1]]


def main() -> None:
    """Read the command line and write the animation."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    default = Path(__file__).parents[2] / "docs" / "before_after.gif"
    parser.add_argument("--output", type=Path, default=default, help="default: %(default)s")
    write_gif(parser.parse_args().output, draw_animation(), _FPS)


if __name__ == "__main__":
    main()
