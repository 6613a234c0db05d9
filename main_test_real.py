"""Correct real dual captures: global-shutter frames, a video and a contact sheet for each."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from data.capture import CapturePair
from data.real_pairs import RealPairs, read_pair
from utils.capture_results import VIDEO, Presentation, write_results
from utils.command_line import parse_arguments, run
from utils.distributed import Processes, process_group
from utils.errors import InputError
from utils.evaluation_options import (
    RealOptions,
    add_capture_arguments,
    chosen_instants,
    overrides,
)
from utils.image_io import prepare_output_folder
from utils.methods import load_method
from utils.option_files import load_options

OPTIONS = Path(__file__).parent / "options" / "test_real.json"


def main() -> None:
    """Read the command line and join the other processes, if there are any."""
    arguments = parse_arguments(
        str(__doc__), extra=add_capture_arguments, default_options=str(OPTIONS)
    )
    options = load_options(arguments.opt, overrides(arguments), RealOptions)
    with process_group(options.device, launched=arguments.dist == "True") as processes:
        correct_captures(options, arguments, processes)


def correct_captures(
    options: RealOptions, arguments: argparse.Namespace, processes: Processes
) -> None:
    """Correct this process's share of the captures and say where the results are."""
    times = chosen_instants(options, arguments)
    show = Presentation(times, options.fps, gif=options.gif or arguments.gif)
    captures = find_captures(options, arguments)
    folder = prepare_output_folder(arguments.output or Path(options.path.root) / options.task)
    method = load_method(options, processes.device)
    for index in range(processes.rank, len(captures), processes.world_size):
        capture = captures[index]
        place = folder / capture.name
        write_results(capture, method.correct, show, place)
        sys.stdout.write(
            f"{capture.name}: {len(times)} frames in {place}, video in {place / VIDEO}\n"
        )


def find_captures(
    options: RealOptions, arguments: argparse.Namespace
) -> Sequence[CapturePair] | RealPairs:
    """The one capture named on the command line, else all below `data_root`.

    Raises:
        InputError: only one image is named, or the captures cannot be read.
    """
    if arguments.t2b is None and arguments.b2t is None:
        return RealPairs(options.datasets.test.data_root)
    if arguments.t2b is None or arguments.b2t is None:
        given, missing = ("--t2b", "--b2t") if arguments.t2b else ("--b2t", "--t2b")
        raise InputError(f"{given} without {missing}: a capture needs both images")
    return [read_pair(arguments.t2b, arguments.b2t)]


if __name__ == "__main__":
    run(main)
