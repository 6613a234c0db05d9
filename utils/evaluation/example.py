"""Contact sheet and viewer of the first capture of a benchmark."""

from pathlib import Path

from data.capture import CapturePair
from data.files.images import Image, to_uint8, write_image
from data.layouts import CaptureFolder
from utils.correction import NamedCorrection
from utils.evaluation.evaluate import FRAME_FOLDERS, EvaluationPlan
from utils.metrics import PROTOCOLS, psnr
from utils.pictures.colour import show_flows
from utils.pictures.contact_sheet import draw_contact_sheet
from utils.pictures.frame_files import read_frames
from utils.pictures.viewer import VIEWER, ShownTruth, ViewerContent, write_viewer

EXAMPLE = "example.png"


def write_example(
    folder: Path, captures: CaptureFolder, *, method: NamedCorrection, plan: EvaluationPlan
) -> dict[str, str]:
    """Show the first capture's saved frames in a contact sheet and a viewer.

    The capture is corrected again, because the viewer also shows its flow.

    Returns:
        The files, relative to `folder`, by their titles; none if frames are not saved.

    Raises:
        InputError: an image is missing or damaged, no space left, or no permission.
    """
    if plan.folder is None:
        return {}
    capture = plan.load(captures, 0)
    frames = read_frames(plan.folder / FRAME_FOLDERS[plan.roundings[0]] / capture.name, plan.times)
    inputs = to_uint8(capture.t2b), to_uint8(capture.b2t)
    write_image(folder / EXAMPLE, draw_contact_sheet(*inputs, frames, plan.times))
    corrected = method.correct(
        capture.pair, plan.times, scan_time=capture.scan_time, with_flows=True
    )
    truth, remarks = _score_example(frames, capture, plan)
    content = ViewerContent(
        title=f"{capture.name}, {method.name}",
        inputs=[inputs],
        frames=frames,
        times=plan.times,
        flows=None if corrected.flows is None else show_flows(corrected.flows),
        truth=truth,
        remarks=remarks,
    )
    write_viewer(folder / VIEWER, content)
    return {"Example: inputs and frames of the first pair": EXAMPLE, "Example in motion": VIEWER}


def _score_example(
    frames: list[Image], capture: CapturePair, plan: EvaluationPlan
) -> tuple[ShownTruth | None, list[str]]:
    """The truth with each frame's PSNR under the first protocol, and a remark that names it."""
    if capture.truth is None:
        return None, []
    protocol = PROTOCOLS[plan.protocols[0]]
    truth = [to_uint8(frame) for frame in capture.truth]
    scores = [psnr(*both, protocol.border) for both in zip(frames, truth, strict=True)]
    return ShownTruth(truth, scores), [f"PSNR: {protocol.description.partition(', all')[0]}"]
