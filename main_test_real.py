"""Correct real dual captures: frames, video and contact sheet of each, or one video of a clip."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from data.capture import CapturePair
from data.capture_streams import apply_timing
from data.real_pairs import RealPairs
from utils.capture_results import DEFAULT_FPS, VIDEO, Presentation, write_results
from utils.clip_results import ClipPlan, describe_clip, write_clip
from utils.command_line import parse_arguments, run
from utils.distributed import Processes, process_group
from utils.errors import InputError
from utils.image_io import prepare_output_folder
from utils.methods import identify_method, load_method
from utils.option_files import load_options
from utils.real_inputs import ChosenInput, chosen_input, find_captures, open_clip
from utils.real_options import (
    RealOptions,
    add_capture_arguments,
    chosen_instants,
    option_overrides,
)
from utils.unfinished_clip import HIDDEN, UnfinishedClip, open_unfinished

OPTIONS = Path(__file__).parent / "options" / "test_real.json"


def main() -> None:
    """Read the command line and join the other processes, if there are any."""
    arguments = parse_arguments(
        str(__doc__), extra=add_capture_arguments, default_options=str(OPTIONS)
    )
    options = load_options(arguments.opt, option_overrides(arguments), RealOptions)
    chosen = chosen_input(arguments)
    with process_group(options.device, launched=arguments.dist == "True") as processes:
        if chosen is not None and chosen.is_clip:
            correct_clip(chosen, options, arguments, processes)
        else:
            captures = find_captures(chosen, options.datasets.test.data_root)
            correct_captures(captures, options, arguments, processes)


def correct_captures(
    captures: Sequence[CapturePair] | RealPairs,
    options: RealOptions,
    arguments: argparse.Namespace,
    processes: Processes,
) -> None:
    """Correct this process's share of the captures and say where the results are."""
    times, timing = chosen_instants(options, arguments), options.timing.camera_timing()
    show = Presentation(times, options.fps or DEFAULT_FPS, gif=options.gif, timing=timing)
    folder = prepare_output_folder(arguments.output or Path(options.path.root) / options.task)
    method = load_method(options, processes.device)
    for index in range(processes.rank, len(captures), processes.world_size):
        capture = apply_timing(captures[index], timing)
        place = folder / capture.name
        write_results(capture, method.correct, show, place)
        sys.stdout.write(
            f"{capture.name}: {len(times)} frames in {place}, video in {place / VIDEO}\n"
        )


def correct_clip(
    chosen: ChosenInput,
    options: RealOptions,
    arguments: argparse.Namespace,
    processes: Processes,
) -> None:
    """Correct a clip, or the rest of it, and say where the video is."""
    if options.gif:
        raise InputError("gif: only for single captures; a clip becomes a video")
    times = chosen_instants(options, arguments)
    method = load_method(options, processes.device)
    stream = open_clip(chosen, options.timing.camera_timing())
    plan = ClipPlan(stream, times, options.fps, save_frames=options.save_frames)
    root = arguments.output or Path(options.path.root) / options.task
    place = prepare_output_folder(Path(root) / stream.name)
    unfinished = UnfinishedClip(place / HIDDEN, plan.part_count)
    if processes.is_main:
        sys.stderr.write("".join(f"{note}\n" for note in plan.notes))
        about = identify_method(options) | describe_clip(plan)
        open_unfinished(unfinished, about, restart=arguments.restart)
    write_clip(plan, method.correct, unfinished, processes)
    if processes.is_main:
        sys.stdout.write(
            f"{stream.name}: {plan.frame_count} frames of {stream.count} pairs at "
            f"{plan.video_fps:.5g} per second in {place / VIDEO}\n"
        )


if __name__ == "__main__":
    run(main)
