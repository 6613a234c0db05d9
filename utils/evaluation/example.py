"""Contact sheets and viewers of captures of a benchmark: of the first one, and of the worst."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from data.capture import CapturePair
from data.files.folders import prepare_output_folder
from data.files.images import Image, to_uint8, write_image
from data.layouts import CaptureFolder
from utils.evaluation.evaluate import to_8bit
from utils.evaluation.methods import ClipMethod, Method, make_frames
from utils.evaluation.plan import EvaluationPlan
from utils.evaluation.saving import read_saved_frames
from utils.evaluation.scores import FrameScore, group_scores
from utils.metrics import METRICS, PROTOCOLS, psnr
from utils.pictures.colour import show_flows
from utils.pictures.contact_sheet import SheetRow, draw_contact_sheet, draw_sheet
from utils.pictures.viewer import VIEWER, OtherFrames, ShownTruth, ViewerContent, write_viewer

EXAMPLE = "example.png"
WORST = "worst"
"""Folder of the pages of the worst captures."""

_MAX_COLUMNS = 6  # of a sheet that compares methods
_CAPTION = 120  # characters of the captions in a row, besides the scores
_MAX_INSTANTS = 5  # of such a sheet, the first, the last, and evenly spaced ones between


def write_example(
    folder: Path,
    captures: CaptureFolder,
    *,
    methods: Mapping[str, Method],
    plan: EvaluationPlan,
) -> dict[str, str]:
    """Show the first capture's frames by all methods in a contact sheet and a viewer.

    Saved frames are read, others made again; so are the first method's for their flow.

    Returns:
        The files, relative to `folder`, by their titles; none if frames are not saved.

    Raises:
        InputError: an image is missing or damaged, no space left, or no permission.
    """
    if plan.folder is None:
        return {}
    title = f"{captures.names[0]}, {', '.join(methods)}"
    capture = plan.load(captures, 0)
    _show((folder / EXAMPLE, folder / VIEWER), capture, methods, plan, title=title)
    return {"Example: inputs and frames of the first pair": EXAMPLE, "Example in motion": VIEWER}


def write_worst(
    folder: Path,
    captures: CaptureFolder,
    worst: Sequence[tuple[str, float]],
    *,
    methods: Mapping[str, Method],
    plan: EvaluationPlan,
) -> dict[str, str]:
    """Show each of the captures that `find_worst` found as `write_example` shows the first one.

    Returns:
        The files, relative to `folder`, by their titles, from the worst capture on.

    Raises:
        InputError: an image is missing or damaged, no space left, or no permission.
    """
    files: dict[str, str] = {}
    for rank, (name, value) in enumerate(worst, start=1):
        prepare_output_folder(folder / WORST)
        stem = f"{WORST}/{rank:02d}_{name.replace('/', '_')}"
        about = f"{name}, {METRICS['psnr'].format(value)} dB"
        capture = plan.load(captures, list(captures.names).index(name))
        title = f"Worst {rank}: {about}, {', '.join(methods)}"
        paths = folder / f"{stem}.png", folder / f"{stem}.html"
        _show(paths, capture, methods, plan, title=title)
        files |= {f"Worst {rank}: {about}": f"{stem}.png"}
        files |= {f"Worst {rank} in motion": f"{stem}.html"}
    return files


def find_worst(scores: Sequence[FrameScore], method: str, count: int) -> list[tuple[str, float]]:
    """Names and mean PSNRs of the captures that a method does worst, worst first.

    Args:
        scores: of all methods; those under the protocol of the first one count.
        method: the method.
        count: maximum number of captures.
    """
    mine = [each for each in scores if each.protocol == scores[0].protocol]
    by_pair = group_scores((each for each in mine if each.method == method), lambda each: each.pair)
    means = {
        name: METRICS["psnr"].mean(each.values["psnr"] for each in group)
        for name, group in by_pair.items()
    }
    return sorted(means.items(), key=lambda item: item[1])[:count]


def _show(
    files: tuple[Path, Path],
    capture: CapturePair,
    methods: Mapping[str, Method],
    plan: EvaluationPlan,
    *,
    title: str,
) -> None:
    """Write the contact sheet and the viewer of a capture."""
    first, *others = methods
    frames = {label: _frames(label, capture, methods, plan) for label in methods}
    truth, scores, remarks = _score(frames, capture, plan)
    inputs = to_uint8(capture.t2b), to_uint8(capture.b2t)
    if others:
        sheet = _compare(inputs, frames, truth, scores, plan.times)
    else:
        sheet = draw_contact_sheet(*inputs, frames[first], plan.times)
    write_image(files[0], sheet)
    flows = None
    if not isinstance(methods[first], ClipMethod):  # whose frames have several flows
        flows = make_frames(methods[first], capture, plan.times, with_flows=True).flows
    content = ViewerContent(
        title=title,
        inputs=[inputs],
        frames=frames[first],
        times=plan.times,
        flows=None if flows is None else show_flows(flows),
        truth=None if truth is None else ShownTruth(truth, scores[first]),
        remarks=remarks,
        label=first if others else "corrected",
        others=[OtherFrames(label, frames[label], scores[label]) for label in others],
    )
    write_viewer(files[1], content)


def _frames(
    label: str, capture: CapturePair, methods: Mapping[str, Method], plan: EvaluationPlan
) -> list[Image]:
    """The 8-bit frames of a method: read where they are saved, otherwise made or read again."""
    rounding = plan.roundings[0]
    folder = plan.frames_folder(label, rounding, is_first=label == next(iter(methods)))
    if folder is not None:
        return read_saved_frames(folder, capture.name, plan.times, layout=plan.layout)
    frames = make_frames(methods[label], capture, plan.times).frames
    return [to_8bit(frame, rounding) for frame in frames]


def _score(
    frames: Mapping[str, Sequence[Image]], capture: CapturePair, plan: EvaluationPlan
) -> tuple[list[Image] | None, dict[str, list[float]], list[str]]:
    """The truth, each frame's PSNR under the first protocol by method, and a remark that names it.

    Without truth there are no PSNRs.
    """
    if capture.truth is None:
        return None, {label: [] for label in frames}, []
    protocol = PROTOCOLS[plan.protocols[0]]
    truth = [to_uint8(frame) for frame in capture.truth]
    scores = {
        label: [psnr(*both, protocol.border) for both in zip(mine, truth, strict=True)]
        for label, mine in frames.items()
    }
    return truth, scores, [f"PSNR: {protocol.description.partition(', all')[0]}"]


def _compare(
    inputs: tuple[Image, Image],
    frames: Mapping[str, Sequence[Image]],
    truth: Sequence[Image] | None,
    scores: Mapping[str, Sequence[float]],
    times: Sequence[float],
) -> Image:
    """A sheet of the inputs and, for some instants, the true frame and that of every method."""
    rows: list[tuple[SheetRow, int]] = [([(inputs[0], "input t2b"), (inputs[1], "input b2t")], 2)]
    pictures = len(frames) + (truth is not None)
    columns = math.ceil(pictures / math.ceil(pictures / _MAX_COLUMNS))
    longest = _CAPTION // columns
    count = min(_MAX_INSTANTS, len(times))
    for step in range(count):
        number = round(step * (len(times) - 1) / max(count - 1, 1))
        row = [] if truth is None else [(truth[number], f"truth, t = {times[number]:.4g}")]
        for label, mine in frames.items():
            about = f"{scores[label][number]:.2f} dB" if truth else f"t = {times[number]:.4g}"
            name = label if len(label) <= longest else f"{label[: longest - 1]}…"
            row.append((mine[number], f"{name}, {about}"))
        rows += [(row[start : start + columns], columns) for start in range(0, len(row), columns)]
    return draw_sheet(rows)
