"""Correct a clip into one video and, on request, its frames.

Every few pairs become one part of the video. The parts stay in a hidden folder until all are
finished and joined, so an interrupted run continues after its last finished part.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from data.capture import CapturePair
from data.files.folders import prepare_output_folder, remove
from data.files.images import Image, to_levels, to_uint8, write_image
from data.files.videos import join_video_parts, write_video_part
from models.inference.correction import Correction
from utils.errors import InputError
from utils.pictures.frame_files import FRAMES, clip_frame_name
from utils.pictures.viewer import VIEWER
from utils.real.capture_results import VIDEO, move_results
from utils.real.clip_parts import UnfinishedClip
from utils.real.clip_plan import PAIRS_PER_PART, ClipPlan
from utils.real.clip_viewer import write_clip_viewer
from utils.system.distributed import Processes


def write_clip(
    plan: ClipPlan, method: Correction, unfinished: UnfinishedClip, processes: Processes
) -> None:
    """Make the missing parts of a clip, shared among the processes, and join all parts.

    The main process must have opened `unfinished` before.

    Raises:
        InputError: a pair cannot be read or corrected, or the results cannot be written; finished
            parts are kept.
    """
    try:
        _make_parts(plan, method, unfinished, processes)
        processes.gather(None)  # wait for the parts of all
        if processes.is_main:
            _join_parts(plan, unfinished)
    except InputError as error:
        raise InputError(f"{error}{_describe_kept(plan, unfinished)}") from error
    except (KeyboardInterrupt, SystemExit):
        sys.stderr.write(f"\n{plan.stream.name}: stopped{_describe_kept(plan, unfinished)}\n")
        raise


def _make_parts(
    plan: ClipPlan, method: Correction, unfinished: UnfinishedClip, processes: Processes
) -> None:
    """Make this process's share of the missing parts of the video."""
    missing = processes.from_main(unfinished.missing)[processes.rank :: processes.world_size]
    if not missing:
        return
    if plan.options.save_frames:
        prepare_output_folder(unfinished.folder / FRAMES)
    begins = [part * PAIRS_PER_PART for part in missing]
    pairs_left = sum(min(PAIRS_PER_PART, plan.stream.count - begin) for begin in begins)
    bar = tqdm(
        total=plan.stream.count,
        initial=plan.stream.count - pairs_left,
        desc=plan.stream.name,
        unit="pair",
        disable=not processes.is_main,
    )
    with bar, closing(plan.stream.pairs(begins[0])) as pairs:
        numbered = enumerate(pairs, start=begins[0])
        passed = begins[0]
        for begin, part in zip(begins, missing, strict=True):
            chosen = islice(numbered, begin - passed, begin - passed + PAIRS_PER_PART)
            passed = begin + PAIRS_PER_PART
            frames = _make_frames(plan, method, chosen, unfinished.folder, bar.update)
            write_video_part(unfinished.parts[part], frames, plan.video_fps)


def _join_parts(plan: ClipPlan, unfinished: UnfinishedClip) -> None:
    """Join the parts, move the results out of the hidden folder and remove it."""
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


def _make_frames(
    plan: ClipPlan,
    method: Correction,
    pairs: Iterable[tuple[int, CapturePair]],
    folder: Path,
    on_pair: Callable[[], object],
) -> Iterator[Image]:
    """Frames of some pairs in order of time; saves them below `folder` if the options say so.

    `on_pair` is called after the frames of each pair.
    """
    for number, capture in pairs:
        times = plan.instants(number)
        pair = plan.preparation.apply(capture.pair)
        made = method(pair, times, scan_time=capture.scan_time).frames
        frames = plan.stream.timing.restore(made)
        for place, (instant, frame) in enumerate(zip(times, frames, strict=True)):
            image = to_uint8(frame)
            if plan.options.save_frames:
                kept = to_levels(frame, plan.options.frame_bits)
                write_image(folder / FRAMES / clip_frame_name(number, place, instant), kept)
            yield image
        on_pair()


def _describe_kept(plan: ClipPlan, unfinished: UnfinishedClip) -> str:
    """What remains after an error; empty if no part is finished."""
    done = unfinished.count - len(unfinished.missing)
    pairs = min(done * PAIRS_PER_PART, plan.stream.count)
    kept = f"{pairs} of {plan.stream.count} pairs are kept in {unfinished.folder}"
    return f"; {kept}: the same command on the same files continues from there" if done else ""
