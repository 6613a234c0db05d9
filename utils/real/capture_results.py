"""What is kept of a corrected capture: frames, video, contact sheet; all of it or nothing."""

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from data.camera_timing import CameraTiming
from data.capture import CapturePair
from data.files.folders import prepare_output_folder
from data.files.images import to_levels, to_uint8, write_image
from data.files.videos import MAX_VIDEO_SIDE, write_gif, write_video
from utils.correction import NamedCorrection
from utils.errors import InputError
from utils.pictures.colour import draw_flow_sheet, show_flows
from utils.pictures.contact_sheet import draw_contact_sheet
from utils.pictures.frame_files import remove_earlier, write_frames
from utils.pictures.viewer import VIEWER, ViewerContent, write_viewer

VIDEO = "video.mp4"
ANIMATION = "video.gif"
CONTACT_SHEET = "contact_sheet.png"
FLOW_SHEET = "flow_sheet.png"
RESULTS = (VIDEO, ANIMATION, CONTACT_SHEET, FLOW_SHEET, VIEWER)

_MOST_FLOW_PIXELS = 9 * 1920 * 1080  # of all frames of a capture whose flow is shown

DEFAULT_FPS = 9.0
"""Frames per second of a video whose speed nothing tells."""


@dataclass(frozen=True)
class Presentation:
    """Which frames to make and how to show them.

    Attributes:
        times: instants of the frames in [0, 1], at least one.
        fps: frames per second of video and GIF.
        gif: whether to write a GIF, too.
        viewer: whether to write a page to look at all this with.
        flow_pictures: whether to write the flow fields as a sheet of pictures.
        frame_bits: of each colour of the frames' image files.
        timing: of the sensors, whose way to stand frames and inputs are brought back to.
    """

    times: tuple[float, ...]
    fps: float
    gif: bool = False
    viewer: bool = True
    flow_pictures: bool = False
    frame_bits: Literal[8, 16] = 8
    timing: CameraTiming = CameraTiming()


def write_results(
    capture: CapturePair, method: NamedCorrection, show: Presentation, folder: Path
) -> None:
    """Correct a capture and write all that is asked for into `folder`.

    Everything is made in a hidden folder inside first, so an error leaves earlier results as they
    were. Of these and of a clip's, what is not made again is removed; other files are left alone.

    Raises:
        InputError: the images cannot be corrected, or the results cannot be written.
    """
    made, flows = _correct(capture, method, show)
    restored = show.timing.restore(made)
    frames = [to_uint8(frame) for frame in restored]
    t2b, b2t = (to_uint8(image) for image in show.timing.restore(capture.pair))
    prepare_output_folder(folder)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as name:
        making = Path(name)
        stored = [to_levels(frame, show.frame_bits) for frame in restored]
        write_frames(making, stored, show.times)
        sheet = draw_contact_sheet(
            t2b, b2t, frames, show.times, directions=show.timing.oriented_directions
        )
        write_image(making / CONTACT_SHEET, sheet)
        if max(t2b.shape) <= MAX_VIDEO_SIDE:
            write_video(making / VIDEO, frames, show.fps)
        else:
            sys.stderr.write(
                f"{capture.name}: no video: {t2b.shape[1]}x{t2b.shape[0]}, and H.264 has at most "
                f"{MAX_VIDEO_SIDE} px a side\n"
            )
        if show.gif:
            write_gif(making / ANIMATION, frames, show.fps)
        if show.flow_pictures and flows is not None:
            write_image(making / FLOW_SHEET, draw_flow_sheet(flows, show.times))
        if show.viewer:
            content = ViewerContent(
                title=capture.name,
                inputs=[(t2b, b2t)],
                frames=frames,
                times=show.times,
                flows=None if flows is None else show_flows(flows),
                fps=show.fps,
                directions=show.timing.oriented_directions,
            )
            write_viewer(making / VIEWER, content)
        _replace_results(folder, making)


def _correct(
    capture: CapturePair, method: NamedCorrection, show: Presentation
) -> tuple[Tensor, Tensor | None]:
    """Frames (T, 3, H, W), and their flows as pictures show them if these are wanted.

    The page leaves flow out where there are so many pixels that it would take much memory.
    """
    pixels = len(show.times) * capture.height * capture.width
    wanted = show.flow_pictures or (show.viewer and pixels <= _MOST_FLOW_PIXELS)
    made = method.correct(capture.pair, show.times, scan_time=capture.scan_time, with_flows=wanted)
    flows = made.flows
    if flows is not None and show.timing.is_transposed:
        flows = flows.transpose(-1, -2).flip(2)  # (dx, dy) change places, too
    return made.frames, flows


def _replace_results(folder: Path, making: Path) -> None:
    """Move the finished files of `making` into `folder` and remove what an earlier run left."""
    made = sorted(path.name for path in making.iterdir())
    try:
        for name in made:
            os.replace(making / name, folder / name)
    except OSError as error:
        raise InputError(f"{folder}: cannot replace earlier results: {error.strerror}") from error
    remove_earlier(folder, RESULTS, kept=made)
