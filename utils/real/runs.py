"""Runs of `main_test_real.py`: captures one by one, or a clip as one video."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from data.capture import CapturePair
from data.files.folders import lock_folder, prepare_output_folder
from data.files.left_out import left_out
from data.files.stored_values import StoredValues
from data.files.videos import MAX_GIF_FPS, MAX_VIDEO_SIDE
from data.real_pairs import RealPairs
from data.video.inputs import ChosenInput, open_clip, read_capture
from data.video.pairing import describe_unsure
from data.video.streams import apply_timing
from models.flow.dis import remembered_flows
from models.inference.correction import instants_of
from models.parts.settings import list_instants
from utils.correction import NamedCorrection, identify_method, load_method, memory_of
from utils.errors import InputError, one_line
from utils.options.real import DEFAULT_FPS, RealOptions
from utils.pictures.viewer import VIEWER
from utils.real.capture_check import Checked, check_clip, check_single
from utils.real.capture_results import VIDEO, write_results
from utils.real.check_report import cure_of
from utils.real.clip_parts import HIDDEN, UnfinishedClip, open_unfinished
from utils.real.clip_plan import ClipPlan, describe_clip
from utils.real.clip_results import write_clip
from utils.real.clip_speed import settle_video
from utils.real.places import capture_name, choose_place, claimed, identify_source
from utils.system.console import note, record, stage, tell_error
from utils.system.distributed import Processes
from utils.system.workers import count_jobs

WARNED = 3
"""Exit status of `--check` if there are warnings."""


def correct_captures(
    chosen: ChosenInput | None, options: RealOptions, processes: Processes
) -> None:
    """Check and correct this process's share of the captures and print where the results are.

    Args:
        chosen: a single capture; by default all below `datasets.test.data_root`.
        options: what to do.
        processes: they share the captures.

    Raises:
        InputError: some captures could not be corrected; the others are.
    """
    captures: Sequence[CapturePair] | RealPairs
    files: Callable[[int], tuple[Path, ...]]
    if chosen is None:
        test = options.datasets.test
        captures = RealPairs(test.data_root, StoredValues(test.bits, test.bayer))
        files, inputs = captures.files, captures.paths
    else:
        capture = read_capture(chosen)
        captures = [replace(capture, name=capture_name(chosen, capture.name))]
        files, inputs = (lambda _: chosen.paths), chosen.files
    timing = options.timing.camera_timing()

    def read(index: int) -> CapturePair:
        capture = apply_timing(captures[index], timing)
        for line in (line for file in files(index) for line in left_out(file)):
            note(line)
        return capture

    def check_one(index: int) -> dict[str, Any]:
        capture = read(index)
        with remembered_flows():
            return _describe_input(capture.name, files(index), check_single(capture, options))

    if options.check == "only":
        made = _for_each(len(captures), check_one, processes)
        _exit_if_any(sum(bool(each["warnings"]) for each in made), len(captures), processes)
        return
    if options.speed is not None:
        raise InputError("speed: only for clips; give --fps for the video of a single capture")
    if options.gif and (options.fps or DEFAULT_FPS) > MAX_GIF_FPS:
        raise InputError(
            f"gif: at most {MAX_GIF_FPS} frames per second, got {options.fps:g}; lower "
            "--fps or leave --gif out"
        )
    folder = prepare_output_folder(options.folder)
    method = load_method(options, processes.device)
    _expect_instants(method, options)

    def correct_one(index: int) -> dict[str, Any]:
        capture = read(index)
        place = choose_place(folder, capture.name, files(index))
        _expect_apart(place, inputs)
        with claimed(place, folder, files(index)), remembered_flows():
            stage("checking")
            checked = check_single(capture, options)
            prepared = checked.preparation.apply_to(capture)
            names = write_results(prepared, method, options, place, checked=checked)
        count = len(options.instants)
        video = f", video in {place / VIDEO}" if (place / VIDEO).exists() else ""
        _say(
            f"{capture.name}: {count} frame{'s'[: count > 1]} in {place}{video}"
            f"{_say_viewer(place, options)}{checked.brief}"
        )
        about = _describe_input(capture.name, files(index), checked)
        return about | {"folder": str(place), "files": names, "frames": count}

    _for_each(len(captures), correct_one, processes)


def correct_clip(chosen: ChosenInput, options: RealOptions, processes: Processes) -> None:
    """Check and correct a clip, or the rest of it, and print where the video is.

    Raises:
        InputError: an option is not for clips, or the clip cannot be read or its video written.
    """
    begin = time.perf_counter()
    stage("reading")
    stream = open_clip(chosen, options.timing.camera_timing())
    for name in ("gif", "flow_pictures", "crop_unseen", "mask"):
        if getattr(options, name):
            raise InputError(f"{name}: only for single captures; a clip becomes a video")
    options = settle_video(options, stream.fps)
    plan = ClipPlan(stream, options)
    if processes.is_main:
        for line in plan.notes:
            note(line)
    stage("checking")
    checked = processes.from_main(check_clip(stream, options) if processes.is_main else Checked())
    wrong = (line for line in stream.notes if cure_of(line) == "--offset")
    checked = checked.preceded_by(line.removeprefix("warning: ") for line in wrong)
    inputs = [identify_source(source) for source in stream.sources]
    described = _describe_input(stream.name, inputs, checked)
    described["unsure_pairs"] = [asdict(pairs) for pairs in stream.unsure]
    if options.check and stream.unsure and processes.is_main:
        unsure = describe_unsure(stream.unsure)
        _say(f"{stream.name}: not confirmed to belong together: {unsure}")
    if options.check == "only":
        record(**described, seconds=_since(begin))
        _exit_if_any(bool(checked.warnings), 1, processes)
        return
    size = stream.sources[0].size
    if max(size) > MAX_VIDEO_SIDE:
        raise InputError(
            f"{stream.name}: {size[1]}x{size[0]}, but a video has at most {MAX_VIDEO_SIDE} px "
            "a side; correct its pictures one by one"
        )
    place = processes.from_main(
        choose_place(options.folder, stream.name, inputs) if processes.is_main else options.folder
    )
    _expect_apart(place, {file.resolve() for source in stream.sources for file in source.files})
    plan = replace(plan, preparation=checked.preparation, warnings=checked.warnings)
    method = load_method(options, processes.device)
    _expect_instants(method, options)
    unfinished = UnfinishedClip(place / HIDDEN, plan.part_count)
    with ExitStack() as stack:
        if processes.is_main:
            stack.enter_context(claimed(place, options.folder, inputs))
            stack.enter_context(lock_folder(place))
            about = identify_method(options) | describe_clip(plan)
            open_unfinished(unfinished, about, restart=options.restart)
        processes.gather(None)  # wait until the folder is ready
        jobs = count_jobs(
            options.jobs,
            processes,
            pieces=plan.part_count,
            pixels=stream.count * size[0] * size[1],
            bytes_each=memory_of(method.correct, size, len(options.instants)),
        )
        names = write_clip(plan, method, unfinished, processes, jobs=jobs)
    if processes.is_main:
        made = {"folder": str(place), "files": names, "frames": plan.frame_count}
        record(**described, **made, fps=plan.video_fps, seconds=_since(begin))
        _say(
            f"{stream.name}: {plan.summary}, in {place / VIDEO}{_say_viewer(place, options)}"
            f"{checked.brief}"
        )


def _expect_instants(method: NamedCorrection, options: RealOptions) -> None:
    """Check that the method makes the frames that the options ask for, before any is made.

    Raises:
        InputError: its network makes other instants, or another number of frames than `frames`.
    """
    instants = instants_of(method.correct)
    if instants is None:
        return
    counted = options.times is None and len(options.instants) != len(instants)
    if counted or not set(options.instants) <= set(instants):
        asked = (
            f"{len(options.instants)} frames"
            if counted
            else f"t = {list_instants(options.instants)}"
        )
        cure = f"--frames {len(instants)}" if len(instants) > 1 else "--times 0.5"
        raise InputError(
            f"{method.name}: its network makes {len(instants)} "
            f"frame{'s'[: len(instants) > 1]}, at t = {list_instants(instants)}, but {asked} are "
            f"asked for; give {cure}, or use other weights"
        )


def _exit_if_any(warned: int, count: int, processes: Processes) -> None:
    """End with a status of its own if captures are checked only and some have warnings.

    Raises:
        SystemExit: with status 3, in the main process.
    """
    if warned and processes.is_main:
        which = f"{warned} of {count} captures have" if count > 1 else "the input has"
        sys.stderr.write(f"{which} warnings\n")
        sys.exit(WARNED)


def _say(line: str) -> None:
    sys.stdout.write(f"{one_line(line)}\n")


def _expect_apart(place: Path, inputs: set[Path]) -> None:
    """Refuse a result folder that holds inputs, some of which the results might replace.

    Raises:
        InputError: `place` holds some.
    """
    folder = place.resolve()
    among = [file.name for file in inputs if file.parent == folder]
    if among:
        raise InputError(
            f"{place}: results would lie among the inputs ({min(among)}); choose another --output"
        )


def _describe_input(name: str, inputs: Sequence[Path], checked: Checked) -> dict[str, Any]:
    """What `--json` says of an input, whatever is made of it."""
    return {"name": name, "inputs": [*map(str, inputs)], "warnings": checked.describe()}


def _for_each(
    count: int, work: Callable[[int], dict[str, Any]], processes: Processes
) -> list[dict[str, Any]]:
    """Do the work for this process's share of `count` captures; a failure stops no other.

    Returns:
        What the work of all processes gave, which is kept for `--json`.

    Raises:
        InputError: some captures failed, in any process; raised in the main one.
    """
    failures, made = 0, []
    for capture in range(processes.rank, count, processes.world_size):
        begin = time.perf_counter()
        try:
            made.append(work(capture) | {"seconds": _since(begin)})
        except InputError as error:
            if count == 1:
                raise
            tell_error(str(error))
            failures += 1
        except KeyboardInterrupt as stop:
            if count == 1:
                raise
            raise KeyboardInterrupt(
                f"the results of {len(made)} captures are kept; the same command makes all "
                f"{count} again"
            ) from stop
    # A launcher ends all processes as soon as one fails: wait until all are done.
    failures = sum(processes.gather(failures))
    everything = [each for part in processes.gather(made) for each in part]
    for each in everything:
        record(**each)
    if failures and processes.is_main:
        raise InputError(f"{failures} of {count} captures failed; see the errors above")
    return everything


def _since(begin: float) -> float:
    return round(time.perf_counter() - begin, 3)


def _say_viewer(folder: Path, options: RealOptions) -> str:
    return f", to look at in {folder / VIEWER}" if options.viewer else ""
