"""Correct real dual captures: frames, video and contact sheet of each, or one video of a clip."""

import argparse
from pathlib import Path

from utils.options.command_line import parse_arguments, run

OPTIONS = Path(__file__).parent / "options" / "test_real.json"


def main() -> None:
    """Read the arguments and correct."""
    from utils.options.real import add_capture_arguments
    from utils.system.console import console

    arguments = parse_arguments(
        str(__doc__), extra=add_capture_arguments, default_options=str(OPTIONS)
    )
    with console(arguments):
        correct(arguments)


def correct(arguments: argparse.Namespace) -> None:
    """Read the options, join the other processes if there are any, and correct."""
    from data.video.inputs import chosen_input
    from utils.options.real import load_real_options

    options = load_real_options(arguments)
    chosen = chosen_input(arguments)
    # Not sooner: --help and refused options do not wait for PyTorch.
    from utils.real.runs import correct_captures, correct_clip
    from utils.system.distributed import process_group

    with process_group(options.device, launched=arguments.dist == "True") as processes:
        if chosen is not None and chosen.is_clip:
            correct_clip(chosen, options, processes)
        else:
            correct_captures(chosen, options, processes)


if __name__ == "__main__":
    run(main)
