"""Write pairs of a clip as training images: `python -m data.extract_captures OUTPUT --t2b ...`.

Neighbouring pairs look alike: by default every tenth is written.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from data.camera_timing import CameraTiming
from data.dataset_writer.folder import new_dataset
from data.files.images import to_uint8, write_image
from data.video.inputs import (
    add_directions_argument,
    add_input_arguments,
    chosen_input,
    open_clip,
    parse_directions,
)
from data.video.streams import CaptureStream
from utils.errors import InputError
from utils.options.command_line import run


def main() -> None:
    """Read the command line and write the captures."""
    arguments = parse_arguments()
    stream = named_clip(arguments)
    sys.stderr.write("".join(f"{note}\n" for note in stream.notes))
    count = extract_captures(stream, arguments.output, step=arguments.step)
    sys.stdout.write(f"{count} captures written to {arguments.output}\n")


def extract_captures(stream: CaptureStream, output: Path, *, step: int = 1) -> int:
    """Write every `step`-th pair of a clip as INDEX_t2b.png and INDEX_b2t.png.

    Images are oriented for training: t2b is read top to bottom, whatever the sensors' directions.

    Args:
        stream: the clip.
        output: folder to create.
        step: at least 1.

    Returns:
        The number of captures.

    Raises:
        InputError: the clip cannot be read, or `output` exists already or cannot be written.
    """
    count = 0
    with new_dataset(output) as unfinished:
        pairs = tqdm(stream.pairs(), total=stream.count, unit="pair", disable=None)
        for number, capture in enumerate(pairs):
            if number % step == 0:
                write_image(unfinished / f"{number:06d}_t2b.png", to_uint8(capture.t2b))
                write_image(unfinished / f"{number:06d}_b2t.png", to_uint8(capture.b2t))
                count += 1
    return count


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse and check the command line.

    Args:
        words: arguments; by default those of the process.

    Raises:
        InputError: `--step` is out of range.
    """
    parser = argparse.ArgumentParser(
        prog="python -m data.extract_captures",
        description="Write pairs of a clip as training images.",
        allow_abbrev=False,
    )
    parser.add_argument("output", type=Path, help="folder to create; it must not exist")
    clip = parser.add_argument_group("clip")
    add_input_arguments(clip, images=False)
    add_directions_argument(clip)
    parser.add_argument(
        "--step", type=int, default=10, help="write every N-th pair (10)", metavar="N"
    )
    arguments = parser.parse_args(words)
    if arguments.step < 1:
        raise InputError(f"--step {arguments.step}: expected at least 1")
    return arguments


def named_clip(arguments: argparse.Namespace) -> CaptureStream:
    """Open the clip that the command line names.

    Raises:
        InputError: arguments are missing or exclude each other, or the clip cannot be read.
    """
    chosen = chosen_input(arguments)
    if chosen is None or not chosen.is_clip:
        got = "nothing" if chosen is None else f"the image {chosen.first}"
        raise InputError(
            f"expected a clip, --t2b CLIP --b2t CLIP or --input CLIP --layout lr or tb, got {got}"
        )
    timing = CameraTiming()
    if arguments.directions is not None:
        timing = CameraTiming(directions=parse_directions(arguments.directions))
    return open_clip(chosen, timing)


if __name__ == "__main__":
    run(main)
