"""Correction of NumPy arrays, for use as a library."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data.camera_timing import CameraTiming
from models.architecture import load_network
from models.clip.correction import Break, ClipPair, correct_clip
from models.inference import correction
from models.parts.checks import check_times
from models.parts.device import choose_device
from models.parts.settings import Blending, InferenceSettings, list_instants
from utils.errors import InputError

BUNDLED_WEIGHTS = Path(__file__).parents[1] / "pretrained" / "drsc_light.safetensors"

Images = npt.NDArray[Any]
Times = float | Sequence[float] | npt.NDArray[Any]
_MAX_VALUES = {"uint8": 255, "uint16": 65535, "float32": 1, "float64": 1}


class ArrayCorrection:
    """Correction of pairs of NumPy images to global-shutter frames."""

    def __init__(
        self,
        method: correction.Correction,
        *,
        follows_motion: bool = False,
        blending: Blending = "choose",
    ) -> None:
        """Wrap a correction of tensors; options as in `models.clip.correction.correct_clip`."""
        self._method = method
        self._follows_motion = follows_motion
        self._blending = blending

    def __call__(
        self, first: Images, second: Images, times: Times, *, timing: CameraTiming | None = None
    ) -> Images:
        """Make frames of one capture, in the inputs' dtype.

        Args:
            first: (H, W, 3) RGB or (H, W) grey; uint8, uint16, or float32 or float64 in [0, 1];
                read top to bottom unless `timing` says otherwise.
            second: likewise, of the same moment, read bottom to top.
            times: T instants in [0, 1], or one; by default 0 and 1 are the exposures of the first
                and the last row of the first image (see `timing`).
            timing: timing of the two sensors.

        Returns:
            (T, H, W, 3), or (T, H, W) of grey images; without the first axis for a single number
            as `times`.

        Raises:
            InputError: the arrays are not two images of equal shape and supported dtype, or have
                fewer than 2 rows, or `times` are no numbers.
            ValueError: no instants, or one outside [0, 1].
        """
        instants = _to_instants(times)
        timing = timing or CameraTiming()
        pair = _to_pair(first, second, timing)
        scan = timing.scan_time(pair.shape[-2])
        frames = timing.restore(self._method(pair, instants, scan_time=scan).frames)
        made = _to_images(frames, like=first)
        return made[0] if np.ndim(times) == 0 else made

    def clip(
        self,
        pairs: Iterable[tuple[Images, Images]],
        times: Times,
        *,
        timing: CameraTiming | None = None,
        on_break: Break = lambda _pair, _finding: None,
    ) -> Iterator[Images]:
        """Make the frames of the consecutive pairs of a clip, each with its neighbours.

        The frame at t = 1 of a pair is that at t = 0 of the next: a video of times 0, 1/4, 1/2 and
        3/4 of every pair shows each instant once. The frames of a pair come when the next pair has
        been read; two pairs are in memory.

        Args:
            pairs: first and second images, as for one capture; all of one shape and dtype.
            times: T instants in [0, 1], or one, of every pair.
            timing: timing of the two sensors.
            on_break: called with the number of a pair that does not follow the one before it, such
                as after a cut, and with what was found; no frame is made of both.

        Yields:
            The frames of each pair, as of one capture.

        Raises:
            InputError: as for one capture, a pair of another shape or dtype than the first, or the
                network makes certain instants only.
            ValueError: no instants, or one outside [0, 1].
        """
        fixed = correction.instants_of(self._method)
        if fixed is not None:
            raise InputError(
                f"the network makes frames at t = {list_instants(fixed)} only, and a clip needs "
                "others between its pairs: correct them one by one"
            )
        instants = _to_instants(times)
        check_times(instants)
        return self._clip(pairs, instants, timing or CameraTiming(), on_break, np.ndim(times) == 0)

    def _clip(
        self,
        pairs: Iterable[tuple[Images, Images]],
        instants: list[float],
        timing: CameraTiming,
        on_break: Break,
        is_single: bool,
    ) -> Iterator[Images]:
        waiting = iter(pairs)
        start = next(waiting, None)
        if start is None:
            return
        like = start[0]

        def given() -> Iterator[ClipPair]:
            for first, second in itertools.chain([start], waiting):
                yield ClipPair(_to_pair(first, second, timing, like=like), instants)

        lines = _to_pair(*start, timing).shape[-2]
        for frames in correct_clip(
            self._method,
            given(),
            timing.scan_time(lines),
            follows_motion=self._follows_motion,
            blending=self._blending,
            on_break=on_break,
        ):
            made = _to_images(timing.restore(frames), like=like)
            yield made[0] if is_single else made


def load_correction(
    weights: str | Path = BUNDLED_WEIGHTS,
    *,
    device: str = "auto",
    self_ensemble: bool = False,
    blending: Blending = "choose",
) -> ArrayCorrection:
    """Load a correction of NumPy images.

    Args:
        weights: a weight file, ours or a released one; "classical" needs none.
        device: "auto", "cpu", "cuda" or "mps".
        self_ensemble: whether to use test-time augmentation: better, in twice the time.
        blending: how the classical correction and the refiner join both views (`Blending`).

    Raises:
        InputError: the weights cannot be loaded, the device is not available, or there is no such
            blending.
    """
    if blending not in get_args(Blending):
        expected = " or ".join(map(repr, get_args(Blending)))
        raise InputError(f"blending: expected {expected}, got {blending!r}")
    method: correction.Correction = partial(correction.correct_classically, blending=blending)
    follows_motion = True
    if weights != "classical":
        network = load_network(weights, choose_device(device))
        settings = InferenceSettings(blending=blending)
        method = partial(correction.correct, network, settings=settings)
        follows_motion = network.needs_cues
    if self_ensemble:
        return ArrayCorrection(correction.self_ensemble(method), blending=blending)
    return ArrayCorrection(method, follows_motion=follows_motion, blending=blending)


def _to_pair(
    first: Images, second: Images, timing: CameraTiming, *, like: Images | None = None
) -> Tensor:
    """Convert two images, of the shape and dtype of `like`, to t2b and b2t (2, 3, H, W)."""
    views = timing.orient(_to_tensor("first", first), _to_tensor("second", second))
    for name, image, other in (("first", first, like), ("second", second, first)):
        if other is not None and (image.shape != other.shape or image.dtype != other.dtype):
            whose = "the first" if name == "second" else "that of the first pair"
            raise InputError(
                f"{name} image: expected {other.shape} {other.dtype} like {whose}, "
                f"got {image.shape} {image.dtype}"
            )
    return torch.stack(views)


def _to_images(frames: Tensor, *, like: Images) -> Images:
    """Convert frames (T, 3, H, W) to images (T, H, W, 3), or grey ones, of the dtype of `like`."""
    values = frames.permute(0, 2, 3, 1).cpu().numpy() * np.float32(_MAX_VALUES[like.dtype.name])
    if like.ndim == 2:
        values = values.mean(axis=-1)
    if np.issubdtype(like.dtype, np.integer):
        values = np.round(values)
    return values.astype(like.dtype)


def _to_tensor(name: str, image: Images) -> Tensor:
    """Convert an image to (3, H, W) float32 in [0, 1]."""
    if not isinstance(image, np.ndarray):
        cure = ""
        if isinstance(image, Tensor):
            cure = "; of a tensor (3, H, W) pass tensor.permute(1, 2, 0).cpu().numpy()"
        raise InputError(f"{name} image: expected a NumPy array, got {type(image).__name__}{cure}")
    is_image = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if not is_image or image.dtype.name not in _MAX_VALUES:
        raise InputError(
            f"{name} image: expected (H, W, 3) RGB or (H, W) grey of {', '.join(_MAX_VALUES)}, "
            f"got {image.shape} {image.dtype}{_cure_for(image)}"
        )
    if image.ndim == 2:
        image = image[..., None].repeat(3, axis=2)
    values = image / np.float32(_MAX_VALUES[image.dtype.name])
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise InputError(
            f"{name} image: expected values in [0, 1], got {values.min():.9g} to {values.max():.9g}"
        )
    return torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)


def _cure_for(image: Images) -> str:
    """How to make an accepted image of one of another shape, as the end of a message."""
    if image.ndim == 4:
        return "; correct the captures of a batch one by one"
    if image.ndim == 3 and image.shape[2] == 4:
        return "; leave out the alpha channel: image[..., :3]"
    if image.ndim == 3 and image.shape[2] == 1:
        return "; leave out the last axis: image[..., 0]"
    if image.ndim == 3 and image.shape[0] == 3:
        return "; put the colours last: image.transpose(1, 2, 0)"
    return ""


def _to_instants(times: Times) -> list[float]:
    try:
        values = np.asarray(times, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"times: expected numbers in [0, 1], got {times!r}") from error
    if values.ndim > 1:
        raise InputError(f"times: expected one number or a list of them, got {values.shape}")
    return [float(value) for value in values.reshape(-1)]
