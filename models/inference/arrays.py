"""Correction of NumPy arrays, for use as a library."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data.camera_timing import CameraTiming
from models.architecture import load_network
from models.inference import correction
from models.parts.device import choose_device
from models.parts.settings import Blending, InferenceSettings
from utils.errors import InputError

BUNDLED_WEIGHTS = Path(__file__).parents[2] / "pretrained" / "drsc_light.safetensors"

Images = npt.NDArray[Any]
_MAX_VALUES = {"uint8": 255, "uint16": 65535, "float32": 1, "float64": 1}


class ArrayCorrection:
    """Correction of pairs of NumPy images to global-shutter frames."""

    def __init__(self, method: correction.Correction) -> None:
        """Wrap a correction of tensors."""
        self._method = method

    def __call__(
        self,
        first: Images,
        second: Images,
        times: float | Sequence[float] | npt.NDArray[Any],
        *,
        timing: CameraTiming | None = None,
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
        views = timing.orient(_to_tensor("first", first), _to_tensor("second", second))
        if first.shape != second.shape or first.dtype != second.dtype:
            raise InputError(
                f"second image: expected {first.shape} {first.dtype} like the first, "
                f"got {second.shape} {second.dtype}"
            )
        scan = timing.scan_time(views[0].shape[-2])
        frames = timing.restore(self._method(torch.stack(views), instants, scan_time=scan).frames)
        values = frames.permute(0, 2, 3, 1).cpu().numpy() * np.float32(
            _MAX_VALUES[first.dtype.name]
        )
        if first.ndim == 2:
            values = values.mean(axis=-1)
        if np.issubdtype(first.dtype, np.integer):
            values = np.round(values)
        made = values.astype(first.dtype)
        return made[0] if np.ndim(times) == 0 else made


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
    if weights != "classical":
        method = partial(
            correction.correct,
            load_network(weights, choose_device(device)),
            settings=InferenceSettings(blending=blending),
        )
    return ArrayCorrection(correction.self_ensemble(method) if self_ensemble else method)


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


def _to_instants(times: float | Sequence[float] | npt.NDArray[Any]) -> list[float]:
    try:
        values = np.asarray(times, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"times: expected numbers in [0, 1], got {times!r}") from error
    if values.ndim > 1:
        raise InputError(f"times: expected one number or a list of them, got {values.shape}")
    return [float(value) for value in values.reshape(-1)]
