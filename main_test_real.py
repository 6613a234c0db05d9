"""Correct real dual captures: frames, video and contact sheet of each, or one video of a clip."""

from pathlib import Path

from data.video.inputs import chosen_input, find_captures, open_clip
from utils.options.command_line import parse_arguments, run
from utils.options.files import load_options
from utils.options.real import (
    RealOptions,
    add_capture_arguments,
    bundled_files,
    option_overrides,
)
from utils.real.runs import correct_captures, correct_clip
from utils.system.distributed import process_group

OPTIONS = Path(__file__).parent / "options" / "test_real.json"


def main() -> None:
    """Read the command line and join the other processes, if there are any."""
    arguments = parse_arguments(
        str(__doc__), extra=add_capture_arguments, default_options=str(OPTIONS)
    )
    changes = option_overrides(arguments)
    if Path(arguments.opt) == OPTIONS:
        changes = [*bundled_files(OPTIONS), *changes]
    options = load_options(arguments.opt, changes, RealOptions)
    chosen = chosen_input(arguments)
    with process_group(options.device, launched=arguments.dist == "True") as processes:
        if chosen is not None and chosen.is_clip:
            stream = open_clip(chosen, options.timing.camera_timing())
            correct_clip(stream, options, arguments, processes)
        else:
            captures = find_captures(chosen, options.datasets.test.data_root)
            correct_captures(captures, options, arguments, processes)


if __name__ == "__main__":
    run(main)
