"""Correct a clip into one video and, on request, its frames.

Every few pairs become one part of the video. The parts stay in a hidden folder until all are
finished and joined, so an interrupted run continues after its last finished part.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

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
from utils.system.workers import Advance, run_in_workers, split


def write_clip(
    plan: ClipPlan,
    method: NamedCorrection,
    unfinished: UnfinishedClip,
    processes: Processes,
    *,
    jobs: int = 1,
) -> list[str]:
    """Make the missing parts of a clip, shared among processes and workers, and join all parts.

    The main process must have opened `unfinished` before. Of several `jobs`, each is a worker
    process of its own.

    Returns:
        Names of the results; none in other processes.

    Raises:
        InputError: a pair cannot be read or corrected, or the results cannot be written; finished
            parts are kept.
    """
    try:
        _make_parts(plan, method, unfinished, processes, jobs)
        processes.gather(None)  # wait for the parts of all
        return _join_parts(plan, unfinished) if processes.is_main else []
    except InputError as error:
        raise InputError(f"{error}{_describe_kept(plan, unfinished)}") from error
    except (KeyboardInterrupt, SystemExit):
        sys.stderr.write(f"\n{plan.stream.name}: stopped{_describe_kept(plan, unfinished)}\n")
        raise


def _make_parts(
    plan: ClipPlan,
    method: NamedCorrection,
    unfinished: UnfinishedClip,
    processes: Processes,
    jobs: int,
) -> None:
    """Make this process's share of the missing parts of the video."""
    missing = processes.from_main(unfinished.missing)[processes.rank :: processes.world_size]
    if not missing:
        return
    if plan.options.save_frames:
        prepare_output_folder(unfinished.folder / FRAMES)
    pairs_left = sum(len(plan.pairs_of_part(part)) for part in missing)
    stage("correcting")
    bar = progress_bar(
        shown=processes.is_main,
        total=plan.stream.count,
        initial=plan.stream.count - pairs_left,
        desc=plan.stream.name,
        unit="pair",
    )
    make = PartMaker(plan.without_sources(), method, unfinished)
    with bar:
        if min(jobs, len(missing)) == 1:
            make(missing, bar.update)
        else:
            run_in_workers(make, split(missing, min(jobs, len(missing))), bar.update)


@dataclass(frozen=True)
class PartMaker:
    """Makes parts of a clip's video, in this process or in another one."""

    plan: ClipPlan
    method: NamedCorrection
    unfinished: UnfinishedClip

    def __call__(self, parts: Sequence[int], advance: Advance) -> None:
        """Make parts in ascending order; of neighbouring ones each pair is read once.

        Args:
            parts: their numbers, at least one.
            advance: called for each pair that is done.

        Raises:
            InputError: a pair cannot be read or corrected, or a part cannot be written.
        """
        plan, method = self.plan, self.method
        begin = first_needed(plan, method, plan.pairs_of_part(parts[0]).start)
        with closing(PairWindow(plan, begin)) as pairs:
            for stretch in _neighbours(parts):
                first, last = (plan.pairs_of_part(part) for part in (stretch[0], stretch[-1]))
                made = make_frames(plan, method, pairs, range(first.start, last.stop))
                for part in stretch:
                    numbered = zip(plan.pairs_of_part(part), made, strict=False)
                    frames = _save_frames(plan, numbered, self.unfinished.folder, advance)
                    write_video_part(self.unfinished.parts[part], frames, plan.video_fps)


def _neighbours(parts: Sequence[int]) -> Iterator[Sequence[int]]:
    """The longest stretches of parts that follow each other."""
    start = 0
    for end in range(1, len(parts) + 1):
        if end == len(parts) or parts[end] != parts[end - 1] + 1:
            yield parts[start:end]
            start = end


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
    plan: ClipPlan, made: Iterable[tuple[int, Tensor]], folder: Path, advance: Advance
) -> Iterator[Image]:
    """8-bit frames of numbered pairs; saves them below `folder` if the options say so."""
    for number, frames in made:
        for place, (instant, frame) in enumerate(zip(plan.instants(number), frames, strict=True)):
            image = to_uint8(frame)
            if plan.options.save_frames:
                kept = to_levels(frame, plan.options.frame_bits)
                write_image(folder / FRAMES / clip_frame_name(number, place, instant), kept)
            yield image
        advance()


def _describe_kept(plan: ClipPlan, unfinished: UnfinishedClip) -> str:
    """What remains after an error; empty if no part is finished."""
    done = unfinished.count - len(unfinished.missing)
    pairs = min(done * PAIRS_PER_PART, plan.stream.count)
    kept = f"{pairs} of {plan.stream.count} pairs are kept in {unfinished.folder}"
    return f"; {kept}: the same command on the same files continues from there" if done else ""
