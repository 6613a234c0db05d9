"""What can be downloaded: the video, its frames as a ZIP archive, and a GIF."""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from data.files.folders import replacing
from data.files.images import Image
from data.files.videos import write_gif
from utils.pictures.frame_files import FRAMES

VIDEO, ARCHIVE, ANIMATION = "video.mp4", "frames.zip", "video.gif"

MAX_GIF_FRAMES = 120
"""Of a clip: its first frames."""

_MAX_GIF_SIDE = 480  # px, of a clip's
_GIF_FPS = 25.0  # of a clip


def pack_downloads(folder: Path, fps: float | None) -> list[Path]:
    """Complete the results in a folder by an archive and, of a clip, a GIF.

    Args:
        folder: of the results of a capture or a clip.
        fps: of a clip.

    Returns:
        The video if there is one, the archive, and the GIF.

    Raises:
        InputError: no space left.
    """
    frames = sorted((folder / FRAMES).rglob("*.png") if fps else folder.glob("frame_*.png"))
    with replacing(folder / ARCHIVE) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for path in frames:  # PNG does not get smaller
            archive.write(path, path.name)
    if fps:
        chosen = frames[:MAX_GIF_FRAMES]
        write_gif(folder / ANIMATION, _shrunk(chosen), min(fps, _GIF_FPS))
    made = (folder / name for name in (VIDEO, ARCHIVE, ANIMATION))
    return [path for path in made if path.is_file()]


def _shrunk(paths: Sequence[Path]) -> Iterator[Image]:
    for path in paths:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        assert picture is not None
        scale = min(1.0, _MAX_GIF_SIDE / max(picture.shape[:2]))
        size = [max(1, round(scale * side)) for side in picture.shape[1::-1]]
        yield np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
