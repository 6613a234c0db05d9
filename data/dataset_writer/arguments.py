"""The command line of `data.create_rs_dataset`."""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data.files.folders import plain_name
from data.simulator.drawing import Range, SceneSettings
from utils.errors import InputError

DIFFICULTIES = {
    "easy": (0.25, 0.5),
    "mixed": (0.25, 0.5, 0.75, 1.0),
    "medium": (0.5, 0.75, 1.0),
    "hard": (1.0, 1.25, 1.5),
}
"""Strengths of the scenes' motion."""

_RANGES = ("exposure", "shot_noise", "read_noise")
_SIMULATED = {
    "photos": None,
    "procedural": 0,
    "count": 20,
    "difficulty": "mixed",
    "strengths": None,
    "size": "540x960",
    "parallax": (0.0, 0.0),
}
_RECORDED = {"span": 9, "step": None, "flow": "dis", "device": "auto"}


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse and check the command line.

    Args:
        words: instead of those that the program was called with.

    Returns:
        All arguments, by default as for simulated scenes; `.recorded` tells whether captures are
        made from a video or frames.

    Raises:
        InputError: a value is out of range, or does not go with the others.
    """
    arguments = _parser().parse_args(words)
    arguments.recorded = arguments.video is not None or arguments.frames_folder is not None
    _fill(arguments, _RECORDED, used=arguments.recorded, by="simulated scenes")
    _fill(arguments, _SIMULATED, used=not arguments.recorded, by="a video or frames")
    for name in _RANGES:
        setattr(arguments, name, _as_range(name, getattr(arguments, name)))
    try:
        plain_name(arguments.split)
    except ValueError as error:
        raise InputError(f"--split: {error}") from error
    _expect(arguments, "count", 1)
    _expect(arguments, "frames", 2)
    _expect(arguments, "seed", 0)
    _expect(arguments, "procedural", 0)
    _expect(arguments, "span", 2)
    if arguments.step is None:
        arguments.step = arguments.span - 1
    _expect(arguments, "step", 1)
    return arguments


def scene_settings(arguments: argparse.Namespace) -> list[SceneSettings]:
    """Settings of the scenes to simulate, one per strength.

    Raises:
        InputError: a setting is out of range.
    """
    height, width = _parse_size(arguments.size)
    cameras = camera_settings(arguments)
    return [
        replace(cameras, height=height, width=width, strength=strength)
        for strength in arguments.strengths or DIFFICULTIES[arguments.difficulty]
    ]


def camera_settings(arguments: argparse.Namespace) -> SceneSettings:
    """Settings of the cameras, in a scene like any other.

    Raises:
        InputError: a setting is out of range.
    """
    return SceneSettings(
        exposure=arguments.exposure,
        gamma=arguments.gamma,
        shot_noise=arguments.shot_noise,
        read_noise=arguments.read_noise,
        view_difference=arguments.view_difference,
        parallax=tuple(arguments.parallax),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data.create_rs_dataset",
        description="Write an RS-GOPRO folder of captures, simulated or from a fast video.",
        allow_abbrev=False,
    )
    parser.add_argument("output", type=Path, help="folder to make, or one made before, to add to")
    parser.add_argument("--split", default="test", help="train, valid or test (the default)")
    parser.add_argument("--frames", type=int, default=9, help="true frames per capture")
    parser.add_argument("--seed", type=int, default=2_000_000, help="of scenes and noise")
    scenes = parser.add_argument_group("simulated scenes")
    scenes.add_argument("--photos", metavar="DIR", help="textures; scikit-image's if not given")
    scenes.add_argument("--procedural", metavar="N", type=int, help="textures besides the photos")
    scenes.add_argument("--count", type=int, help="scenes, one sequence each (20)")
    amount = scenes.add_mutually_exclusive_group()
    amount.add_argument("--difficulty", choices=DIFFICULTIES, help="amount of motion (mixed)")
    amount.add_argument("--strengths", metavar="X", type=float, nargs="+", help="the same, in turn")
    scenes.add_argument("--size", metavar="HxW", help="rows and columns (540x960)")
    scenes.add_argument(
        "--parallax", metavar=("X", "Y"), type=float, nargs=2, help="of b2t against t2b, px"
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
        "cameras, ideal by default (data.simulator.drawing.SceneSettings)"
    )
    for name, text in (
        ("--exposure", "share of the readout, 0 to 1"),
        ("--shot-noise", "standard deviation at white, as a share of it"),
        ("--read-noise", "standard deviation at black"),
    ):
        limits = " or a range LOW HIGH"
        cameras.add_argument(
            name, metavar="X", type=float, nargs="+", default=[0.0], help=text + limits
        )
    cameras.add_argument("--gamma", type=float, default=2.2, help="values = light ** (1 / gamma)")
    cameras.add_argument("--view-difference", metavar="X", type=float, default=0.0, help="of gains")
    return parser


def _fill(
    arguments: argparse.Namespace, defaults: Mapping[str, object], *, used: bool, by: str
) -> None:
    """Put defaults in place; refuse arguments of the other kind of data."""
    for name, default in defaults.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)
        elif not used:
            raise InputError(f"--{name}: not for {by}; leave it out")


def _expect(arguments: argparse.Namespace, name: str, least: int) -> None:
    value = getattr(arguments, name)
    if value < least:
        raise InputError(f"--{name} {value}: expected at least {least}")


def _as_range(name: str, values: Sequence[float]) -> Range:
    if len(values) == 1:
        return values[0]
    if len(values) != 2:
        given = " ".join(map(str, values))
        raise InputError(f"--{name.replace('_', '-')} {given}: expected one number or LOW HIGH")
    return values[0], values[1]


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise InputError(f"--size {text}: expected rows x columns such as 540x960")
    return int(match[1]), int(match[2])
