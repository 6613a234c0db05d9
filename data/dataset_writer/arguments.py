"""The command line of `data.create_rs_dataset`."""

import argparse
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data.files.folders import plain_name
from data.simulator.settings import MAX_READOUTS, MAX_TEXTURES, SceneSettings
from utils.errors import InputError

DIFFICULTIES = {
    "easy": (0.25, 0.5),
    "mixed": (0.25, 0.5, 0.75, 1.0),
    "medium": (0.5, 0.75, 1.0),
    "hard": (1.0, 1.25, 1.5),
}
"""Motion strengths of the scenes."""

_SIMULATED_DEFAULTS = {
    "photos": None,
    "procedural": 0,
    "count": 20,
    "difficulty": "mixed",
    "strengths": None,
    "size": "540x960",
    "motion": "scaled",
    "parallax": (0.0, 0.0),
    "pairs": 1,
    "camera_shake": 0.0,
}
_RECORDED_DEFAULTS = {"span": 9, "step": None, "flow": "dis", "device": "auto"}
_MOTION = ("camera_motion", "object_motion", "acceleration")
"""Settings in pixels of a 540x960 frame."""

_MINIMA = {"count": 1, "frames": 2, "seed": 0, "procedural": 0, "span": 2, "step": 1, "pairs": 1}
_RANGES = {
    "exposure": "share of the readout, 0 to 1",
    "shot_noise": "standard deviation at white, as a share of white",
    "read_noise": "standard deviation at black, as a share of white",
}


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse and check the command line.

    Args:
        words: arguments; by default those of the process.

    Returns:
        All arguments; `.recorded` tells whether captures are made from a video or frames.

    Raises:
        InputError: a value is out of range, or arguments exclude each other.
    """
    arguments = _parser().parse_args(words)
    arguments.recorded = arguments.video is not None or arguments.frames_folder is not None
    _set_defaults(
        arguments, _RECORDED_DEFAULTS, used=arguments.recorded, other="for simulated scenes"
    )
    _set_defaults(
        arguments, _SIMULATED_DEFAULTS, used=not arguments.recorded, other="for a video or frames"
    )
    for name in _RANGES:
        setattr(arguments, name, _parse_range(name, getattr(arguments, name)))
    try:
        plain_name(arguments.split)
    except ValueError as error:
        raise InputError(f"--split: {error}") from error
    if arguments.step is None:
        arguments.step = arguments.span - 1
    for name, minimum in _MINIMA.items():
        if getattr(arguments, name) < minimum:
            raise InputError(f"--{name} {getattr(arguments, name)}: expected at least {minimum}")
    if arguments.procedural > MAX_TEXTURES:
        raise InputError(f"--procedural {arguments.procedural}: expected at most {MAX_TEXTURES}")
    if arguments.pairs > MAX_READOUTS:
        raise InputError(f"--pairs {arguments.pairs}: expected at most {MAX_READOUTS}")
    return arguments


def scene_settings(arguments: argparse.Namespace) -> list[SceneSettings]:
    """Settings of the scenes to simulate, one per strength.

    Raises:
        InputError: a setting is out of range.
    """
    size = re.fullmatch(r"(\d+)x(\d+)", arguments.size)
    if not size:
        raise InputError(f"--size {arguments.size}: expected rows x columns such as 540x960")
    height, width = int(size[1]), int(size[2])
    cameras = camera_settings(arguments)
    if arguments.motion == "scaled":
        scale = math.sqrt(height * width / (cameras.height * cameras.width))
        motion = {name: scale * getattr(cameras, name) for name in _MOTION}
        cameras = replace(cameras, **motion)
    return [
        replace(
            cameras,
            height=height,
            width=width,
            strength=strength,
            camera_shake=arguments.camera_shake,
        )
        for strength in arguments.strengths or DIFFICULTIES[arguments.difficulty]
    ]


def camera_settings(arguments: argparse.Namespace) -> SceneSettings:
    """Settings of the cameras; the scene has its defaults.

    Raises:
        InputError: a setting is out of range.
    """
    names = (*_RANGES, "gamma", "view_difference")
    values = {name: getattr(arguments, name) for name in names}
    return SceneSettings(**values, parallax=tuple(arguments.parallax))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data.create_rs_dataset",
        description="Write captures in the RS-GOPRO layout, simulated or from a fast video.",
        allow_abbrev=False,
    )
    parser.add_argument("output", type=Path, help="folder to create, or a data set to add to")
    parser.add_argument("--split", default="test", help="train, valid or test (the default)")
    parser.add_argument("--frames", type=int, default=9, help="true frames per capture (9)")
    parser.add_argument("--seed", type=int, default=2_000_000, help="of scenes and noise")
    scenes = parser.add_argument_group("simulated scenes")
    scenes.add_argument("--photos", metavar="DIR", help="textures; scikit-image's if not given")
    scenes.add_argument("--procedural", metavar="N", type=int, help="textures besides the photos")
    scenes.add_argument("--count", type=int, help="scenes, one sequence each (20)")
    amount = scenes.add_mutually_exclusive_group()
    amount.add_argument("--difficulty", choices=DIFFICULTIES, help="amount of motion (mixed)")
    amount.add_argument(
        "--strengths", metavar="X", type=float, nargs="+", help="amounts of motion, in turn"
    )
    scenes.add_argument("--size", metavar="HxW", help="rows and columns (540x960)")
    scenes.add_argument(
        "--motion",
        choices=("scaled", "unscaled"),
        help="with the frame's size, by the square root of its area (the default), or in pixels as "
        "at 540x960",
    )
    scenes.add_argument(
        "--pairs", metavar="K", type=int, help="consecutive captures of each scene (1)"
    )
    scenes.add_argument(
        "--camera-shake", metavar="PX", type=float, help="largest shift by a hand's shake (0)"
    )
    scenes.add_argument(
        "--parallax", metavar=("X", "Y"), type=float, nargs=2, help="of b2t relative to t2b, px"
    )
    video = parser.add_argument_group("captures from a high-frame-rate global-shutter recording")
    source = video.add_mutually_exclusive_group()
    source.add_argument("--video", metavar="FILE")
    source.add_argument("--frames-folder", metavar="DIR", help="images in order of their names")
    video.add_argument("--span", metavar="N", type=int, help="frames from t = 0 to t = 1 (9)")
    video.add_argument("--step", metavar="N", type=int, help="frames between captures (span - 1)")
    video.add_argument("--flow", help="dis (default), raft_small, raft_large or a PWC-Net file")
    video.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"))
    cameras = parser.add_argument_group(
        "cameras, ideal by default (data.simulator.settings.SceneSettings)"
    )
    for name, text in _RANGES.items():
        cameras.add_argument(
            _option(name),
            metavar="X",
            type=float,
            nargs="+",
            default=[0.0],
            help=f"{text}; one number or a range LOW HIGH",
        )
    cameras.add_argument("--gamma", type=float, default=2.2, help="values = light ** (1 / gamma)")
    cameras.add_argument("--view-difference", metavar="X", type=float, default=0.0, help="of gains")
    return parser


def _set_defaults(
    arguments: argparse.Namespace, defaults: Mapping[str, object], *, used: bool, other: str
) -> None:
    """Set arguments that were not given; refuse those of the other kind of data."""
    for name, default in defaults.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)
        elif not used:
            raise InputError(f"{_option(name)}: not {other}; leave it out")


def _parse_range(name: str, values: Sequence[float]) -> float | tuple[float, float]:
    if len(values) > 2:
        given = " ".join(map(str, values))
        raise InputError(f"{_option(name)} {given}: expected one number or LOW HIGH")
    return values[0] if len(values) == 1 else (values[0], values[1])


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
