"""Write captures of simulated scenes or of a recording into a data set."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from data.capture import CapturePair
from data.dataset_writer.folder import new_sequences, read_runs, write_capture, write_description
from data.dataset_writer.rolling_video import (
    IntervalFactory,
    RollingSettings,
    VideoStatistics,
    roll_captures,
)
from data.files.folders import name_after
from data.simulator.drawing import draw_scene
from data.simulator.scene import Scene
from data.simulator.settings import SceneSettings
from data.video.sources import FrameSource
from utils.errors import InputError

_MAX_RELIABLE_MOTION = 10.0  # px between neighbouring frames, for interpolation


def write_simulated(
    output: Path,
    textures: Sequence[Tensor],
    settings: Sequence[SceneSettings],
    seeds: Sequence[int],
    *,
    split: str = "test",
    frames: int = 9,
    pairs: int = 1,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write one sequence per seed, scene i with settings i modulo their number.

    `dataset.json` holds each sequence's seed and settings. After an error nothing is written.

    Args:
        output: folder to create, or a data set to add to.
        textures: of the scenes (`data.simulator.textures.load_textures`).
        settings: at least one.
        seeds: one per scene.
        split: name of the folder inside `output`.
        frames: true frames per capture, evenly spaced over the readout, at least 2.
        pairs: captures per scene, each beginning where the one before it ends: the last true frame
            of one is the first of the next.
        about: further fields of `dataset.json`.

    Raises:
        InputError: `output` is not a data set, already has these sequences or seeds, or cannot be
            written.
    """
    names = [f"{index:04d}" for index in range(len(seeds))]
    sequences = {}
    with new_sequences(output, split, names) as unfinished:
        _check_seeds(output, seeds)
        _check_frames(output, split, frames)
        for index, seed in enumerate(tqdm(seeds, unit="scene", disable=None)):
            name, setting = names[index], settings[index % len(settings)]
            scene = draw_scene(textures, setting, seed, readouts=pairs)
            for number, capture in enumerate(_capture_clip(scene, pairs, frames)):
                write_capture(unfinished / split / name, number, capture)
            sequences[name] = {"seed": seed, **asdict(setting)}
        common = {"kind": "simulated", **(about or {}), "frames": frames, "pairs": pairs}
        common["consecutive"] = True
        write_description(unfinished, split, sequences, **common)


def write_recorded(
    output: Path,
    source: FrameSource,
    settings: RollingSettings,
    make_interval: IntervalFactory,
    *,
    split: str = "test",
    device: torch.device | str = "cpu",
    about: Mapping[str, Any] | None = None,
) -> int:
    """Write captures made from a recording as one sequence, named after it.

    `dataset.json` holds all parameters and each capture's first frame.

    Args:
        output: folder to create, or a data set to add to; outside the recording.
        source: the recording.
        settings: of the captures.
        make_interval: interpolates between two frames.
        split: name of the folder inside `output`.
        device: of the computation.
        about: further fields of `dataset.json`.

    Returns:
        The number of captures.

    Raises:
        InputError: the recording is too short or cannot be read, or `output` is not a data set,
            already has this sequence, lies inside the recording's folder, or cannot be written.
    """
    _check_source(source, output)
    name = name_after(source.name if source.name.strip(".") else "recording", source.path)
    statistics = VideoStatistics()
    first_frames: list[int] = []
    with new_sequences(output, split, [name]) as unfinished:
        _check_frames(output, split, len(settings.times))
        frames = (frame.to(device) for frame in source.frames())
        rolled = roll_captures(frames, settings, make_interval, statistics)
        total = max((source.count - settings.frames_needed) // settings.step + 1, 0)
        for first_frame, capture in tqdm(rolled, total=total, unit="capture", disable=None):
            write_capture(unfinished / split / name, len(first_frames), capture)
            first_frames.append(first_frame)
        _check_recording(source, settings, statistics)
        captures = {f"{i:08d}": {"first_frame": n} for i, n in enumerate(first_frames)}
        common = {
            "kind": "recorded",
            "source": str(source.path.resolve()),
            "size": statistics.size,
            "fps": source.fps,
            "source_frames": statistics.frames,
            **asdict(settings),
            "readout_seconds": source.fps and (settings.span - 1) / source.fps,
            "consecutive": settings.step == settings.span - 1,
            "fastest_px_between_frames": round(statistics.max_speed, 2),
            **(about or {}),
        }
        write_description(unfinished, split, {name: {"captures": captures}}, **common)
    return len(first_frames)


def _capture_clip(scene: Scene, pairs: int, frames: int) -> Iterator[CapturePair]:
    """Yield consecutive captures of a scene; the frame at which two meet is imaged once."""
    times, joint = torch.linspace(0, 1, frames), None
    for number in range(pairs):
        capture = scene.readout(number).capture(times)
        if capture.truth is not None and joint is not None:
            capture = replace(capture, truth=torch.cat((joint, capture.truth[1:])))
        joint = None if capture.truth is None else capture.truth[-1:]
        yield capture


def _check_seeds(output: Path, seeds: Sequence[int]) -> None:
    """Refuse seeds that any split of the data set has already."""
    for run in read_runs(output):
        for name, settings in run.sequences.items():
            if settings.get("seed") in seeds:
                raise InputError(
                    f"--seed {seeds[0]}: {output / run.split / name} already shows the scene of "
                    f"seed {settings['seed']}; choose other seeds"
                )


def _check_frames(output: Path, split: str, frames: int) -> None:
    """Refuse a number of true frames other than the split's; such a split could not be scored."""
    for run in read_runs(output):
        for name in run.sequences if run.split == split else ():
            folder = output / split / name / "GS"
            found = len(list(folder.glob("00000000_gs_*.png")))
            if found != frames:
                raise InputError(
                    f"--frames {frames}: {folder} has {found} true frames per capture; use "
                    f"--frames {found}, or another --split"
                )


def _check_source(source: FrameSource, output: Path) -> None:
    if source.path.resolve() in output.resolve().parents:
        raise InputError(f"{output}: lies inside the recording {source.path}; choose another place")
    try:
        str(source.path.resolve()).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{source.path}: expected a path in UTF-8, for dataset.json; rename it"
        ) from None
    if source.size[0] < 2:
        raise InputError(f"{source.path}: a rolling shutter needs at least 2 rows, got 1")


def _check_recording(
    source: FrameSource, settings: RollingSettings, statistics: VideoStatistics
) -> None:
    """Refuse a recording too short for a capture; warn of fast motion."""
    if statistics.frames < settings.frames_needed:
        raise InputError(
            f"{source.path}: {statistics.frames} frames, but a capture takes "
            f"{settings.frames_needed} (span {settings.span}, exposure "
            f"{settings.imaging.exposure:g}); record at more frames per second, or lower --span"
        )
    if statistics.max_speed > _MAX_RELIABLE_MOTION:
        sys.stderr.write(
            f"warning: {source.path}: {statistics.max_speed:.1f} px of motion between frames "
            f"{statistics.max_speed_at} and {statistics.max_speed_at + 1}; interpolation is "
            f"unreliable beyond {_MAX_RELIABLE_MOTION:g} px: record at more frames per second\n"
        )
