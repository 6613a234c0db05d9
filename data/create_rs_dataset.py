"""Write an RS-GOPRO folder of simulated scenes: `python -m data.create_rs_dataset OUTPUT`."""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from data.simulator import SceneSettings, draw_scene
from data.textures import load_textures
from utils.command_line import run
from utils.errors import InputError
from utils.image_io import prepare_output_folder, to_uint8, write_image

STRENGTHS = (0.25, 0.5, 0.75, 1.0)


def main() -> None:
    """Read the command line and write the scenes."""
    parser = argparse.ArgumentParser(description=str(__doc__))
    parser.add_argument("output", type=Path, help="folder to make; it must not exist")
    parser.add_argument("--photos", metavar="DIR", help="textures; scikit-image's if not given")
    parser.add_argument("--split", default="test")
    parser.add_argument("--count", type=int, default=20, help="scenes, one sequence each")
    parser.add_argument("--frames", type=int, default=9, help="true frames per scene")
    parser.add_argument("--seed", type=int, default=2_000_000)
    arguments = parser.parse_args()
    if arguments.count < 1 or arguments.frames < 2:
        raise InputError(
            "create_rs_dataset: expected --count >= 1 and --frames >= 2, "
            f"got {arguments.count} and {arguments.frames}"
        )
    textures = load_textures(arguments.photos)
    settings = [SceneSettings(strength=strength) for strength in STRENGTHS]
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    write_dataset(
        arguments.output, textures, settings, seeds, split=arguments.split, frames=arguments.frames
    )
    sys.stdout.write(f"{arguments.count} scenes are in {arguments.output}/{arguments.split}\n")


def write_dataset(
    output: Path,
    textures: Sequence[Tensor],
    settings: Sequence[SceneSettings],
    seeds: Sequence[int],
    *,
    split: str = "test",
    frames: int = 9,
) -> None:
    """Write one sequence per seed; scene i has settings i modulo their number.

    `dataset.json` holds each sequence's seed and settings. Everything is made in a hidden folder
    first: an error leaves nothing behind.

    Args:
        output: folder to make.
        textures: what the scenes show (`data.textures.load_textures`).
        settings: at least one.
        seeds: one per scene.
        split: name of the folder inside `output`.
        frames: global-shutter frames per scene, evenly spaced over the readout, at least 2.

    Raises:
        InputError: `output` exists already or cannot be written.
    """
    if output.exists():
        raise InputError(f"{output}: exists already; name a new folder, or remove it first")
    making = output.with_name(f".making-{output.name}")
    prepare_output_folder(making)
    try:
        parameters = {}
        for index, seed in enumerate(seeds):
            setting = settings[index % len(settings)]
            sequence = f"{index:04d}"
            capture = draw_scene(textures, setting, seed).capture(torch.linspace(0, 1, frames))
            _write_sequence(making / split / sequence, capture.t2b, capture.b2t, capture.truth)
            parameters[sequence] = {"seed": seed, **asdict(setting)}
        (making / "dataset.json").write_text(json.dumps(parameters, indent=2) + "\n")
        making.rename(output)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _write_sequence(folder: Path, t2b: Tensor, b2t: Tensor, truth: Tensor | None) -> None:
    for part in ("RS", "GS"):
        prepare_output_folder(folder / part)
    write_image(folder / "RS" / "00000000_rs_t2b.png", to_uint8(t2b))
    write_image(folder / "RS" / "00000000_rs_b2t.png", to_uint8(b2t))
    for number, frame in enumerate(() if truth is None else truth):
        write_image(folder / "GS" / f"00000000_gs_{number:03d}.png", to_uint8(frame))


if __name__ == "__main__":
    run(main)
