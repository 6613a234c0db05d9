"""Runs of `main_test_real.py`: captures one by one, or a clip as one video."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from data.capture import CapturePair
from data.files.folders import lock_folder, prepare_output_folder
from data.files.videos import MAX_GIF_FPS, MAX_VIDEO_SIDE
from data.real_pairs import RealPairs
from data.video.streams import CaptureStream, apply_timing
from utils.correction import identify_method, load_method
from utils.errors import InputError
from utils.options.real import RealOptions, chosen_instants
from utils.pictures.viewer import VIEWER
from utils.real.capture_results import DEFAULT_FPS, VIDEO, Presentation, write_results
from utils.real.clip_parts import HIDDEN, UnfinishedClip, open_unfinished
from utils.real.clip_plan import ClipPlan, describe_clip
from utils.real.clip_results import write_clip
from utils.real.preparation import Preparation, check_clip, check_single
from utils.system.distributed import Processes


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
    if options.gif and (options.fps or DEFAULT_FPS) > MAX_GIF_FPS:
        raise InputError(
            f"gif: at most {MAX_GIF_FPS} frames per second, got {options.fps:g}; lower "
            "--fps or leave --gif out"
        )
    show = Presentation(
        times,
        options.fps or DEFAULT_FPS,
        gif=options.gif,
        viewer=options.viewer,
        flow_pictures=options.flow_pictures,
        frame_bits=options.frame_bits,
        timing=timing,
    )
    folder = prepare_output_folder(_output(options, arguments))
    inputs = _by_folder(
        captures.paths if isinstance(captures, RealPairs) else _named_files(arguments)
    )
    method = load_method(options, processes.device)

    def correct_one(index: int) -> None:
        capture = apply_timing(captures[index], timing)
        place = folder / capture.name
        _expect_apart(place, inputs)
        prepared = check_single(capture, options).apply_to(capture)
        write_results(prepared, method, show, place)
        video = f", video in {place / VIDEO}" if (place / VIDEO).exists() else ""
        sys.stdout.write(
            f"{capture.name}: {len(times)} frames in {place}{video}{_say_viewer(place, options)}\n"
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
    _expect_video_size(stream)
    place = _output(options, arguments) / stream.name
    files = {file.resolve() for source in stream.sources for file in source.files}
    _expect_apart(place, _by_folder(files))
    plan = replace(plan, preparation=preparation)
    method = load_method(options, processes.device)
    prepare_output_folder(place)
    unfinished = UnfinishedClip(place / HIDDEN, plan.part_count)
    with lock_folder(place) if processes.is_main else nullcontext():
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


def _output(options: RealOptions, arguments: argparse.Namespace) -> Path:
    if arguments.output == "":
        raise InputError("--output: expected a folder, got an empty name")
    return Path(arguments.output or Path(options.path.root) / options.task)


def _named_files(arguments: argparse.Namespace) -> set[Path]:
    names = (arguments.t2b, arguments.b2t, arguments.input)
    return {Path(name).resolve() for name in names if name is not None}


def _by_folder(files: set[Path]) -> dict[Path, str]:
    """Of each folder that holds some of the files, the name of one."""
    return {file.parent: file.name for file in sorted(files, reverse=True)}


def _expect_apart(place: Path, inputs: Mapping[Path, str]) -> None:
    """Make sure that results do not come to lie among inputs, some of which they might replace.

    Raises:
        InputError: `place` holds some.
    """
    among = inputs.get(place.resolve())
    if among is not None:
        raise InputError(
            f"{place}: results would lie among the inputs ({among}); choose another --output"
        )


def _expect_video_size(stream: CaptureStream) -> None:
    size = stream.sources[0].size
    if max(size) > MAX_VIDEO_SIDE:
        raise InputError(
            f"{stream.name}: {size[1]}x{size[0]}, but a video has at most {MAX_VIDEO_SIDE} px "
            "a side; correct its pictures one by one"
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
