"""Write an RS-GOPRO folder, or add to it: `python -m data.create_rs_dataset OUTPUT`.

Captures are simulated, or made from a high-frame-rate video (`--video FILE`) or its frames
(`--frames-folder DIR`).
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from data.dataset_writer.arguments import camera_settings, parse_arguments, scene_settings
from data.dataset_writer.folder import new_sequences, read_runs, write_capture, write_description
from data.dataset_writer.rolling_video import RollingSettings, VideoStatistics, roll_captures
from data.simulator.drawing import SceneSettings, draw_imaging, draw_scene
from data.simulator.textures import load_textures
from data.video.sources import FrameSource, open_frames_folder, open_video
from models.flow.interpolation import Flow
from models.flow.networks import load_flow
from models.parts.device import choose_device
from utils.errors import InputError
from utils.options.command_line import run

_RELIABLE_MOTION = 10.0  # px between neighbouring frames, beyond which interpolation fails


def main() -> None:
    """Read the command line and write the captures."""
    arguments = parse_arguments()
    if arguments.recorded:
        device = choose_device(arguments.device)
        source = (
            open_frames_folder(arguments.frames_folder)
            if arguments.video is None
            else open_video(arguments.video)
        )
        settings = RollingSettings(
            span=arguments.span,
            step=arguments.step,
            times=torch.linspace(0, 1, arguments.frames, dtype=torch.float64).tolist(),
            imaging=draw_imaging(camera_settings(arguments), arguments.seed),
        )
        flow = load_flow(arguments.flow).to(device)
        count = write_recorded(
            arguments.output,
            source,
            settings,
            flow,
            split=arguments.split,
            device=device,
            about={"flow": arguments.flow},
        )
    else:
        textures = load_textures(arguments.photos, procedural=arguments.procedural)
        seeds = range(arguments.seed, arguments.seed + arguments.count)
        write_dataset(
            arguments.output,
            textures,
            scene_settings(arguments),
            seeds,
            split=arguments.split,
            frames=arguments.frames,
            about={"photos": arguments.photos, "procedural_textures": arguments.procedural},
        )
        count = arguments.count
    sys.stdout.write(f"{count} captures are in {arguments.output}/{arguments.split}\n")


def write_dataset(
    output: Path,
    textures: Sequence[Tensor],
    settings: Sequence[SceneSettings],
    seeds: Sequence[int],
    *,
    split: str = "test",
    frames: int = 9,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write one sequence per seed; scene i has settings i modulo their number.

    `dataset.json` holds each sequence's seed and settings. Everything is made in a hidden folder
    first: an error leaves nothing behind.

    Args:
        output: folder to make, or one made before, to which the sequences are added.
        textures: what the scenes show (`data.simulator.textures.load_textures`).
        settings: at least one.
        seeds: one per scene.
        split: name of the folder inside `output`.
        frames: global-shutter frames per scene, evenly spaced over the readout, at least 2.
        about: what else to put in `dataset.json`.

    Raises:
        InputError: `output` holds something else, these sequences or scenes of these seeds already,
            or cannot be written.
    """
    names = [f"{index:04d}" for index in range(len(seeds))]
    sequences = {}
    with new_sequences(output, split, names) as making:
        _check_seeds(output, seeds)
        _check_frames(output, split, frames)
        for index, seed in enumerate(tqdm(seeds, unit="scene", disable=None)):
            setting = settings[index % len(settings)]
            capture = draw_scene(textures, setting, seed).capture(torch.linspace(0, 1, frames))
            write_capture(making / split / names[index], 0, capture)
            sequences[names[index]] = {"seed": seed, **asdict(setting)}
        write_description(
            making, split, sequences, kind="simulated", **(about or {}), frames=frames
        )


def write_recorded(
    output: Path,
    source: FrameSource,
    settings: RollingSettings,
    flow: Flow,
    *,
    split: str = "test",
    device: torch.device | str = "cpu",
    about: Mapping[str, Any] | None = None,
) -> int:
    """Write captures made from a recording as one sequence, named after it.

    `dataset.json` holds all parameters and each capture's first frame. The recording is only read.

    Args:
        output: folder to make, or one made before, to which the sequence is added; outside the
            recording.
        source: the recording.
        settings: how captures are laid over it.
        flow: motion between two frames.
        split: name of the folder inside `output`.
        device: where to work.
        about: what else to put in `dataset.json`.

    Returns:
        The number of captures.

    Raises:
        InputError: the recording is too short or cannot be read, or `output` holds something else
            or this sequence already, lies inside the recording's folder, or cannot be written.
    """
    if source.path.resolve() in output.resolve().parents:
        raise InputError(f"{output}: lies inside the recording {source.path}; choose another place")
    try:
        str(source.path.resolve()).encode()
    except UnicodeEncodeError:
        shown = str(source.path).encode(errors="backslashreplace").decode()
        raise InputError(
            f"{shown}: expected a path in UTF-8, for dataset.json; rename it"
        ) from None
    if source.size[0] < 2:
        raise InputError(f"{source.path}: a rolling shutter needs at least 2 rows, got 1")
    name = source.name.lstrip(".") or "recording"  # hidden sequences are not read
    statistics = VideoStatistics()
    first_frames: list[int] = []
    with new_sequences(output, split, [name]) as making:
        _check_frames(output, split, len(settings.times))
        frames = (frame.to(device) for frame in source.frames())
        rolled = roll_captures(frames, settings, flow, statistics)
        for first_frame, capture in tqdm(rolled, unit="capture", disable=None):
            write_capture(making / split / name, len(first_frames), capture)
            first_frames.append(first_frame)
        _check_recording(source, settings, statistics)
        captures = {f"{i:08d}": {"first_frame": n} for i, n in enumerate(first_frames)}
        description = _describe(source, settings, statistics) | dict(about or {})
        write_description(making, split, {name: {"captures": captures}}, **description)
    return len(first_frames)


def _check_frames(output: Path, split: str, frames: int) -> None:
    """Refuse other numbers of true frames than a split has: it could not be scored.

    Raises:
        InputError: its captures have more or fewer.
    """
    for earlier in read_runs(output):
        for name in earlier.sequences if earlier.split == split else ():
            folder = output / split / name / "GS"
            found = len(list(folder.glob("00000000_gs_*.png")))
            if found != frames:
                raise InputError(
                    f"--frames {frames}: {folder} has {found} true frames of each capture; give as "
                    "many, or another --split"
                )


def _check_seeds(output: Path, seeds: Sequence[int]) -> None:
    """Refuse scenes that the data set has already, be it in another split.

    Raises:
        InputError: a seed was used before.
    """
    for earlier in read_runs(output):
        for name, settings in earlier.sequences.items():
            if settings.get("seed") in seeds:
                raise InputError(
                    f"--seed {seeds[0]}: {output / earlier.split / name} shows the scene of seed "
                    f"{settings['seed']} already; choose other seeds"
                )


def _describe(
    source: FrameSource, settings: RollingSettings, statistics: VideoStatistics
) -> dict[str, Any]:
    return {
        "kind": "recorded",
        "source": str(source.path.resolve()),
        "size": statistics.size,
        "fps": source.fps,
        "source_frames": statistics.frames,
        **asdict(settings),
        "readout_seconds": source.fps and (settings.span - 1) / source.fps,
        "fastest_px_between_frames": round(statistics.fastest, 2),
    }


def _check_recording(
    source: FrameSource, settings: RollingSettings, statistics: VideoStatistics
) -> None:
    """Refuse a recording without captures; warn of one that moves too fast."""
    if statistics.frames < settings.needed:
        raise InputError(
            f"{source.path}: {statistics.frames} frames, but a capture takes {settings.needed} "
            f"(span {settings.span}, exposure {settings.imaging.exposure:g}); record at more "
            "frames per second, or lower the span"
        )
    if statistics.fastest > _RELIABLE_MOTION:
        sys.stderr.write(
            f"warning: {source.path}: {statistics.fastest:.1f} px of motion between frames "
            f"{statistics.fastest_at} and {statistics.fastest_at + 1}; beyond "
            f"{_RELIABLE_MOTION:g} px interpolated rows are unreliable: record at more frames per "
            "second\n"
        )


if __name__ == "__main__":
    run(main)
