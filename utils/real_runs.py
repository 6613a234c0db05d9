"""Runs of `main_test_real.py`: captures one by one, or a clip as one video."""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from data.capture import CapturePair
from data.capture_streams import CaptureStream, apply_timing
from data.real_pairs import RealPairs
from utils.capture_results import DEFAULT_FPS, VIDEO, Presentation, write_results
from utils.clip_plan import ClipPlan, describe_clip
from utils.clip_results import write_clip
from utils.distributed import Processes
from utils.errors import InputError
from utils.image_io import prepare_output_folder
from utils.methods import identify_method, load_method
from utils.preparation import Preparation, check_clip, check_single
from utils.real_options import RealOptions, chosen_instants
from utils.sole_use import sole_use
from utils.unfinished_clip import HIDDEN, UnfinishedClip, open_unfinished
from utils.viewer import VIEWER


def correct_captures(
    captures: Sequence[CapturePair] | RealPairs,
    options: RealOptions,
    arguments: argparse.Namespace,
    processes: Processes,
) -> None:
    """Check and correct this process's share of the captures and say where the results are.

    Raises:
        InputError: some captures could not be corrected; the others are.
    """
    timing = options.timing.camera_timing()
    if arguments.check:

        def check_one(index: int) -> None:
            check_single(apply_timing(captures[index], timing), options)

        _for_each(len(captures), check_one, processes)
        return
    times = chosen_instants(options, arguments)
    show = Presentation(
        times,
        options.fps or DEFAULT_FPS,
        gif=options.gif,
        viewer=options.viewer,
        flow_pictures=options.flow_pictures,
        frame_bits=options.frame_bits,
        timing=timing,
    )
    folder = prepare_output_folder(arguments.output or Path(options.path.root) / options.task)
    method = load_method(options, processes.device)

    def correct_one(index: int) -> None:
        capture = apply_timing(captures[index], timing)
        prepared = check_single(capture, options).apply_to(capture)
        place = folder / capture.name
        write_results(prepared, method, show, place)
        sys.stdout.write(
            f"{capture.name}: {len(times)} frames in {place}, video in {place / VIDEO}"
            f"{_say_viewer(place, options)}\n"
        )

    _for_each(len(captures), correct_one, processes)


def correct_clip(
    stream: CaptureStream,
    options: RealOptions,
    arguments: argparse.Namespace,
    processes: Processes,
) -> None:
    """Check and correct a clip, or the rest of it, and say where the video is.

    Raises:
        InputError: an option is not for clips, or the clip cannot be read or its video written.
    """
    for name in ("gif", "flow_pictures"):
        if getattr(options, name):
            raise InputError(f"{name}: only for single captures; a clip becomes a video")
    plan = ClipPlan(
        stream,
        chosen_instants(options, arguments),
        options.fps,
        save_frames=options.save_frames,
        frame_bits=options.frame_bits,
        viewer=options.viewer,
    )
    if processes.is_main:
        sys.stderr.write("".join(f"{note}\n" for note in plan.notes))
    preparation = processes.from_main(
        check_clip(stream, options) if processes.is_main else Preparation()
    )
    if arguments.check:
        return
    plan = replace(plan, preparation=preparation)
    method = load_method(options, processes.device)
    root = arguments.output or Path(options.path.root) / options.task
    place = prepare_output_folder(Path(root) / stream.name)
    unfinished = UnfinishedClip(place / HIDDEN, plan.part_count)
    with sole_use(place) if processes.is_main else nullcontext():
        if processes.is_main:
            about = identify_method(options) | describe_clip(plan)
            open_unfinished(unfinished, about, restart=arguments.restart)
        processes.gather(None)  # the folder is ready
        write_clip(plan, method.correct, unfinished, processes)
    if processes.is_main:
        sys.stdout.write(
            f"{stream.name}: {plan.frame_count} frames of {stream.count} pairs at "
            f"{plan.video_fps:.5g} per second in {place / VIDEO}{_say_viewer(place, options)}\n"
        )


def _for_each(count: int, work: Callable[[int], None], processes: Processes) -> None:
    """Do the work for this process's share of so many captures; one that fails stops no other.

    Raises:
        InputError: in the main process, it failed for some, whoever had them.
    """
    failures = 0
    for capture in range(processes.rank, count, processes.world_size):
        try:
            work(capture)
        except InputError as error:
            if count == 1:
                raise
            sys.stderr.write(f"error: {error}\n")
            failures += 1
    # A launcher ends all processes as soon as one fails: none may before all are done.
    failures = sum(processes.gather(failures))
    if failures and processes.is_main:
        raise InputError(f"{failures} of {count} captures failed, as said above")


def _say_viewer(folder: Path, options: RealOptions) -> str:
    return f", to look at in {folder / VIEWER}" if options.viewer else ""
