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
from models.progress import watched_by
from utils.correction import NamedCorrection
from utils.errors import InputError
from utils.options.real import DEFAULT_FPS, RealOptions
from utils.pictures.colour import draw_flow_sheet, show_flows
from utils.pictures.contact_sheet import draw_contact_sheet
from utils.pictures.frame_files import FRAMES, remove_earlier, replace_clip_frames, write_frames
from utils.pictures.viewer import VIEWER, ViewerContent, write_viewer
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
    warnings: Sequence[str] = (),
) -> list[str]:
    """Correct a capture and write all that the options ask for into `folder`; print their check.

    The page shows the warnings of the check of the capture.

    Results are made in a hidden folder inside it first, so an error leaves earlier results as they
    were. Earlier results, also of a clip, that are not made again are removed; other files stay.

    Returns:
        Names of what was made.

    Raises:
        InputError: the images cannot be corrected, or the results cannot be written.
    """
    times, fps = options.instants, options.fps or DEFAULT_FPS
    timing = options.timing.camera_timing()
    stage("correcting")
    made, flows = _correct(capture, method, options)
    stage("writing")
    restored = timing.restore(made)
    frames = [to_uint8(frame) for frame in restored]
    t2b, b2t = (to_uint8(image) for image in timing.restore(capture.pair))
    prepare_output_folder(folder)
    with making_folder(folder) as making:
        stored = [to_levels(frame, options.frame_bits) for frame in restored]
        write_frames(making, stored, times)
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
                remarks=[f"warning: {text}" for text in warnings],
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
    bar = progress_bar(total=len(times), desc=capture.name, unit="frame", leave=False)
    with bar, watched_by(lambda share: bar.update(int(share * len(times)) - bar.n)):
        made = method.correct(capture.pair, times, scan_time=capture.scan_time, with_flows=wanted)
    flows = made.flows
    if flows is not None and options.timing.camera_timing().is_transposed:
        flows = flows.transpose(-1, -2).flip(2)  # (dx, dy) become (dy, dx)
    return made.frames, flows


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
