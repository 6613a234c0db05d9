"""Correct a clip into one video and, on request, its frames.

Every few pairs become one part of the video. The parts stay in a hidden folder until all are
finished and joined, so an interrupted run continues after its last finished part.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from torch import Tensor
from tqdm import tqdm

from data.files.folders import prepare_output_folder, remove
from data.files.images import Image, to_levels, to_uint8, write_image
from data.files.videos import join_video_parts, write_video_part
from utils.correction import NamedCorrection
from utils.errors import InputError
from utils.pictures.frame_files import FRAMES, clip_frame_name
from utils.pictures.viewer import VIEWER
from utils.real.capture_results import VIDEO, move_results
from utils.real.clip_frames import PairWindow, first_needed, make_frames
from utils.real.clip_parts import UnfinishedClip
from utils.real.clip_plan import PAIRS_PER_PART, ClipPlan
from utils.real.clip_viewer import write_clip_viewer
from utils.system.console import progress_bar, stage
from utils.system.distributed import Processes


def write_clip(
    plan: ClipPlan, method: NamedCorrection, unfinished: UnfinishedClip, processes: Processes
) -> list[str]:
    """Make the missing parts of a clip, shared among the processes, and join all parts.

    The main process must have opened `unfinished` before.

    Returns:
        Names of the results; none in other processes.

    Raises:
        InputError: a pair cannot be read or corrected, or the results cannot be written; finished
            parts are kept.
    """
    try:
        _make_parts(plan, method, unfinished, processes)
        processes.gather(None)  # wait for the parts of all
        return _join_parts(plan, unfinished) if processes.is_main else []
    except InputError as error:
        raise InputError(f"{error}{_describe_kept(plan, unfinished)}") from error
    except (KeyboardInterrupt, SystemExit):
        sys.stderr.write(f"\n{plan.stream.name}: stopped{_describe_kept(plan, unfinished)}\n")
        raise


def _make_parts(
    plan: ClipPlan, method: NamedCorrection, unfinished: UnfinishedClip, processes: Processes
) -> None:
    """Make this process's share of the missing parts of the video."""
    missing = processes.from_main(unfinished.missing)[processes.rank :: processes.world_size]
    if not missing:
        return
    if plan.options.save_frames:
        prepare_output_folder(unfinished.folder / FRAMES)
    begins = [part * PAIRS_PER_PART for part in missing]
    pairs_left = sum(min(PAIRS_PER_PART, plan.stream.count - begin) for begin in begins)
    stage("correcting")
    bar = progress_bar(
        shown=processes.is_main,
        total=plan.stream.count,
        initial=plan.stream.count - pairs_left,
        desc=plan.stream.name,
        unit="pair",
    )
    with bar, closing(PairWindow(plan, first_needed(plan, method, begins[0]))) as pairs:
        for begin, part in zip(begins, missing, strict=True):
            numbers = range(begin, min(begin + PAIRS_PER_PART, plan.stream.count))
            made = make_frames(plan, method, pairs, numbers)
            frames = _save_frames(plan, zip(numbers, made, strict=True), unfinished.folder, bar)
            write_video_part(unfinished.parts[part], frames, plan.video_fps)


def _join_parts(plan: ClipPlan, unfinished: UnfinishedClip) -> list[str]:
    """Join the parts, move the results out of the hidden folder and remove it; their names."""
    stage("writing")
    video, results = unfinished.folder / VIDEO, [VIDEO]
    aspect = plan.stream.pixel_aspect
    join_video_parts(unfinished.parts, video, plan.video_fps, plan.soundtrack, aspect)
    if plan.options.viewer:
        write_clip_viewer(plan, video, unfinished.folder)
        results.append(VIEWER)
    if plan.options.save_frames:
        results.append(FRAMES)
    move_results(unfinished.folder, unfinished.folder.parent, results)
    remove(unfinished.folder)
    return results


def _save_frames(
    plan: ClipPlan, made: Iterable[tuple[int, Tensor]], folder: Path, bar: "tqdm[NoReturn]"
) -> Iterator[Image]:
    """8-bit frames of numbered pairs; saves them below `folder` if the options say so."""
    for number, frames in made:
        for place, (instant, frame) in enumerate(zip(plan.instants(number), frames, strict=True)):
            image = to_uint8(frame)
            if plan.options.save_frames:
                kept = to_levels(frame, plan.options.frame_bits)
                write_image(folder / FRAMES / clip_frame_name(number, place, instant), kept)
            yield image
        bar.update()


def _describe_kept(plan: ClipPlan, unfinished: UnfinishedClip) -> str:
    """What remains after an error; empty if no part is finished."""
    done = unfinished.count - len(unfinished.missing)
    pairs = min(done * PAIRS_PER_PART, plan.stream.count)
    kept = f"{pairs} of {plan.stream.count} pairs are kept in {unfinished.folder}"
    return f"; {kept}: the same command on the same files continues from there" if done else ""
