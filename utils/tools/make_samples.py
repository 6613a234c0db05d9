"""Make the bundled demo captures: `python -m utils.tools.make_samples [--output FOLDER]`."""

import argparse
from pathlib import Path
from typing import NamedTuple

from data.files.images import prepare_output_folder, to_uint8, write_image
from data.simulator.drawing import SceneSettings, draw_scene
from data.simulator.textures import BUNDLED_PHOTOS, load_textures
from utils.options.command_line import run


class Sample(NamedTuple):
    """A demo capture: the photos its scene is drawn from and a seed that was picked by eye."""

    photos: tuple[str, ...]
    seed: int


SAMPLES = {
    "astronaut": Sample(("astronaut.png", "coffee.png"), seed=204),
    "coffee": Sample(("coffee.png", "chelsea.png"), seed=1240),
}
SETTINGS = SceneSettings(
    height=288, width=384, camera_motion=26.0, object_motion=24.0, acceleration=4.0, max_objects=1
)


def make_samples(folder: Path) -> None:
    """Write `NAME/0_t2b.png` and `NAME/0_b2t.png` for every sample into `folder`.

    Raises:
        InputError: the folder cannot be written.
    """
    photos = dict(zip(BUNDLED_PHOTOS, load_textures(None), strict=True))
    for name, sample in SAMPLES.items():
        scene = draw_scene([photos[photo] for photo in sample.photos], SETTINGS, sample.seed)
        capture = scene.capture([], name=name)
        prepare_output_folder(folder / name)
        write_image(folder / name / "0_t2b.png", to_uint8(capture.t2b))
        write_image(folder / name / "0_b2t.png", to_uint8(capture.b2t))


def main() -> None:
    """Read the command line and write the samples."""
    parser = argparse.ArgumentParser(description="Make the bundled demo captures.")
    default = Path(__file__).parents[2] / "data" / "samples"
    parser.add_argument("--output", type=Path, default=default, help="default: %(default)s")
    make_samples(parser.parse_args().output)


if __name__ == "__main__":
    run(main)
