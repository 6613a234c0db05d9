"""Small clips with known contents for tests, and options to correct them by."""

import subprocess
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import skimage.data
from numpy.typing import NDArray

from data.files.videos import write_video
from tests.helpers.capture_folders import random_pixels
from utils.options.real import RealOptions

Pixels = NDArray[np.uint8]


def real_options(**changes: object) -> RealOptions:
    """Options of `main_test_real.py` for the classical method."""
    given = {
        "task": "test",
        "method": "classical",
        "path": {},
        "datasets": {"test": {"data_root": "data/samples"}},
    }
    return RealOptions.model_validate({**given, **changes})


def ffmpeg(*words: object) -> None:
    """Call the bundled ffmpeg."""
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error"]
    subprocess.run([*program, *map(str, words)], check=True)


def grey(level: int, size: tuple[int, int] = (16, 24)) -> Pixels:
    """An even picture."""
    return np.full((*size, 3), level, np.uint8)


def smooth(name: str, size: tuple[int, int] = (16, 24)) -> Pixels:
    """A picture that encoders keep well, different for each name."""
    coarse = random_pixels(name, (2, 2)).astype(np.float64)
    rows, columns = (np.linspace(0, 1, side)[:, None] for side in size)
    weights = np.concatenate((1 - rows, rows), 1), np.concatenate((1 - columns, columns), 1)
    return np.einsum("yi,xj,ijc->yxc", *weights, coarse).round().astype(np.uint8)


def moving_clip(
    count: int, *, step: float = 3, size: tuple[int, int] = (96, 128)
) -> list[tuple[Pixels, Pixels]]:
    """Pairs of both views of a photo that moves right; each row is sampled at its own instant.

    Args:
        count: pairs.
        step: pixels per frame interval, on the average; it varies from pair to pair.
        size: rows and columns.
    """
    rows, columns = size
    photo = cv2.resize(skimage.data.coffee(), (600, rows)).astype(np.float32)
    scan = np.arange(rows) / (rows - 1)
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))

    def sample(times: NDArray[np.float64]) -> Pixels:
        path = 40 + step * (times + 2 * np.sin(times / 4))
        at = (x + path[:, None]).astype(np.float32), y.astype(np.float32)
        return cv2.remap(photo, *at, cv2.INTER_LINEAR).round().astype(np.uint8)

    return [(sample(n + scan), sample(n + 1 - scan)) for n in range(count)]


def write_clip_video(path: Path, count: int, *, name: str = "", fps: float = 30) -> Path:
    """A video whose frame n is `smooth(f"{name}{n}")`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, (smooth(f"{name}{number}") for number in range(count)), fps)
    return path


def add_sound(video: Path, path: Path, *, begin: float, codec: str = "aac") -> Path:
    """A copy of a video in which a tone starts `begin` seconds after its first frame."""
    tone = f"aevalsrc='if(gte(t,{begin}),sin(2764*t),0)':d=3"
    ffmpeg(
        *("-i", video, "-f", "lavfi", "-i", tone, "-map", "0:v", "-map", "1:a"),
        *("-c:v", "copy", "-c:a", codec, path),
    )
    return path


def frame_times(video: Path) -> list[float]:
    """When the frames of a video are shown, in seconds."""
    listing = "-map 0:v -c copy -f framecrc -"
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(video)]
    done = subprocess.run([*program, *listing.split()], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    [tick] = [line.split(": ")[1].split("/") for line in lines if line.startswith("#tb 0")]
    stamps = (int(line.split(",")[2]) for line in lines if not line.startswith("#"))
    return [stamp * int(tick[0]) / int(tick[1]) for stamp in stamps]


def sound_begin(video: Path) -> float:
    """Seconds into a video at which its sound becomes loud."""
    wave = ["-map", "0:a", "-ac", "1", "-ar", "8000", "-f", "s16le", "-"]
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(video)]
    samples = np.frombuffer(
        subprocess.run([*program, *wave], capture_output=True, check=True).stdout, "<i2"
    )
    return float(np.argmax(np.abs(samples.astype(int)) > 8000) / 8000)
