"""Write captures in the RS-GOPRO layout: `python -m data.create_rs_dataset OUTPUT`.

Captures are simulated, or made from a high-frame-rate video (`--video FILE`) or its frames
(`--frames-folder DIR`).
"""

import argparse
import sys
from functools import partial

import torch

from data.dataset_writer.arguments import camera_settings, parse_arguments, scene_settings
from data.dataset_writer.rolling_video import RollingSettings
from data.dataset_writer.writing import write_recorded, write_simulated
from data.simulator.drawing import draw_imaging
from data.simulator.textures import load_textures
from data.video.sources import open_frames_folder, open_video
from models.flow.interpolation import make_interval
from models.flow.networks import load_flow
from models.parts.device import choose_device
from utils.options.command_line import run


def main() -> None:
    """Read the command line and write the captures."""
    arguments = parse_arguments()
    count = _write_recorded(arguments) if arguments.recorded else _write_simulated(arguments)
    sys.stdout.write(f"{count} captures written to {arguments.output}/{arguments.split}\n")


def _write_simulated(arguments: argparse.Namespace) -> int:
    write_simulated(
        arguments.output,
        load_textures(arguments.photos, procedural=arguments.procedural),
        scene_settings(arguments),
        range(arguments.seed, arguments.seed + arguments.count),
        split=arguments.split,
        frames=arguments.frames,
        pairs=arguments.pairs,
        about={"photos": arguments.photos, "procedural_textures": arguments.procedural},
    )
    return int(arguments.count * arguments.pairs)


def _write_recorded(arguments: argparse.Namespace) -> int:
    device = choose_device(arguments.device)
    if arguments.video is None:
        source = open_frames_folder(arguments.frames_folder)
    else:
        source = open_video(arguments.video)
    settings = RollingSettings(
        span=arguments.span,
        step=arguments.step,
        times=torch.linspace(0, 1, arguments.frames, dtype=torch.float64).tolist(),
        imaging=draw_imaging(camera_settings(arguments), arguments.seed),
    )
    flow = load_flow(arguments.flow).to(device)
    return write_recorded(
        arguments.output,
        source,
        settings,
        partial(make_interval, imaging=settings.imaging, flow=flow),
        split=arguments.split,
        device=device,
        about={"flow": arguments.flow},
    )


if __name__ == "__main__":
    run(main)
