"""Results of a single capture: frames, video, contact sheet; written all or not at all."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from data.capture import CapturePair
from data.files.folders import making_folder, prepare_output_folder
from data.files.images import to_levels, to_uint8, write_image
from data.files.videos import MAX_VIDEO_SIDE, write_gif, write_video
from models.inference.unseen import Margins, Rectangle, largest_rectangle, seen_in_views
from models.progress import watched_by
from utils.correction import NamedCorrection
from utils.errors import InputError
from utils.options.real import DEFAULT_FPS, RealOptions
from utils.pictures.colour import draw_flow_sheet, show_flows
from utils.pictures.contact_sheet import draw_contact_sheet
from utils.pictures.frame_files import (
    FRAMES,
    remove_earlier,
    replace_clip_frames,
    write_frames,
    write_masks,
)
from utils.pictures.viewer import VIEWER, ViewerContent, write_viewer
from utils.real.capture_check import Checked
from utils.real.result_check import check_results
from utils.system.console import note, progress_bar, stage

VIDEO = "video.mp4"
ANIMATION = "video.gif"
CONTACT_SHEET = "contact_sheet.png"
FLOW_SHEET = "flow_sheet.png"
RESULTS = (VIDEO, ANIMATION, CONTACT_SHEET, FLOW_SHEET, VIEWER)

_MAX_FLOW_PIXELS = 9 * 1920 * 1080  # of all frames: the flow of more would take much memory


def write_results(
    capture: CapturePair,
    method: NamedCorrection,
    options: RealOptions,
    folder: Path,
    *,
    checked: Checked = Checked(),  # noqa: B008 - a tuple
) -> list[str]:
    """Correct a capture and write all that the options ask for into `folder`; print their check.

    The page shows the warnings of the check of the capture, `checked`.

    Results are made in a hidden folder inside it first, so an error leaves earlier results as they
    were. Earlier results, also of a clip, that are not made again are removed; other files stay.

    Returns:
        Names of what was made.

    Raises:
        InputError: the images cannot be corrected, no part is seen at all instants, or the results
            cannot be written.
    """
    times, fps = options.instants, options.fps or DEFAULT_FPS
    timing = options.timing.camera_timing()
    stage("correcting")
    made, flows = _correct(capture, method, options)
    stage("writing")
    restored, views, seen = timing.restore(made), timing.restore(capture.pair), None
    if options.mask or options.crop_unseen:
        margins = checked.preparation.margins(is_transposed=timing.is_transposed)
        seen = _find_seen(capture, flows, margins)
    if seen is not None and options.crop_unseen:
        part = _part_to_keep(capture, seen)
        restored, views, seen = map(part.cut, (restored, views, seen))
        flows = None if flows is None else part.cut(flows)
    frames = [to_uint8(frame) for frame in restored]
    t2b, b2t = (to_uint8(image) for image in views)
    prepare_output_folder(folder)
    with making_folder(folder) as making:
        stored = [to_levels(frame, options.frame_bits) for frame in restored]
        write_frames(making, stored, times)
        if seen is not None and options.mask:
            write_masks(making, seen.cpu().numpy(), times)
        sheet = draw_contact_sheet(t2b, b2t, frames, times, directions=timing.oriented_directions)
        write_image(making / CONTACT_SHEET, sheet)
        if max(t2b.shape) <= MAX_VIDEO_SIDE:
            write_video(making / VIDEO, frames, fps)
        else:
            note(
                f"warning: {capture.name}: no video: {t2b.shape[1]}x{t2b.shape[0]}, and H.264 has "
                f"at most {MAX_VIDEO_SIDE} px a side"
            )
        if options.gif:
            write_gif(making / ANIMATION, frames, fps)
        if options.flow_pictures and flows is not None:
            write_image(making / FLOW_SHEET, draw_flow_sheet(flows, times))
        if options.viewer:
            content = ViewerContent(
                title=options.title or capture.name,
                inputs=[(t2b, b2t)],
                frames=frames,
                times=times,
                flows=None if flows is None else show_flows(flows),
                fps=fps,
                directions=timing.oriented_directions,
                remarks=[f"warning: {text}" for text in checked.warnings],
            )
            write_viewer(making / VIEWER, content)
        names = sorted(path.name for path in making.iterdir())
        move_results(making, folder, names)
    if options.check:
        sys.stdout.write(f"{check_results(capture, made, times)}\n")
    return names


def _correct(
    capture: CapturePair, method: NamedCorrection, options: RealOptions
) -> tuple[Tensor, Tensor | None]:
    """Frames (T, 3, H, W), and their flows if these are shown, as the sensors stand."""
    times = options.instants
    pixels = len(times) * capture.height * capture.width
    wanted = options.flow_pictures or (options.viewer and pixels <= _MAX_FLOW_PIXELS)
    wanted |= options.mask or options.crop_unseen
    bar = progress_bar(total=len(times), desc=capture.name, unit="frame", leave=False)
    with bar, watched_by(lambda share: bar.update(int(share * len(times)) - bar.n)):
        made = method.correct(capture.pair, times, scan_time=capture.scan_time, with_flows=wanted)
    flows = made.flows
    if flows is not None and options.timing.camera_timing().is_transposed:
        flows = flows.transpose(-1, -2).flip(2)  # (dx, dy) become (dy, dx)
    return made.frames, flows


def _find_seen(
    capture: CapturePair, flows: Tensor | None, margins: tuple[Margins, Margins]
) -> Tensor:
    """(T, H, W) whether a view shows a pixel of the frames, as the sensors stand.

    Raises:
        InputError: the method tells no flow.
    """
    if flows is None:
        raise InputError(
            f"{capture.name}: the method tells no motion, so nothing is known of what the views "
            "show; leave out --mask and --crop-unseen"
        )
    return seen_in_views(flows, margins)


def _part_to_keep(capture: CapturePair, seen: Tensor) -> Rectangle:
    """The largest part that is seen at all instants; a line names it.

    Raises:
        InputError: there is none of two pixels a side.
    """
    part = largest_rectangle(seen.all(0).cpu().numpy())
    if part is None or min(part.width, part.height) < 2:
        raise InputError(
            f"{capture.name}: no part of the frames is seen in a view at all instants; leave out "
            "--crop-unseen, or give fewer instants by --times"
        )
    height, width = seen.shape[-2:]
    sys.stdout.write(
        f"{capture.name}: cropped to {part.width}x{part.height} of {width}x{height} at "
        f"{part.left},{part.top}: what neither view shows is left out\n"
    )
    return part


def move_results(made: Path, folder: Path, names: Sequence[str]) -> None:
    """Move finished results from the folder `made` and remove what an earlier run left.

    Raises:
        InputError: no permission.
    """
    try:
        for name in names:
            if name == FRAMES:
                replace_clip_frames(folder / FRAMES, made / FRAMES)
            else:
                os.replace(made / name, folder / name)
    except OSError as error:
        raise InputError(f"{folder}: cannot replace earlier results: {error.strerror}") from error
    remove_earlier(folder, RESULTS, kept=names)
