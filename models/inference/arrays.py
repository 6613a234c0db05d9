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
        times: Sequence[float],
        *,
        timing: CameraTiming | None = None,
    ) -> Images:
        """Make frames (T, H, W, 3) of one capture, in the inputs' dtype.

        Args:
            first: (H, W, 3) RGB; uint8, uint16, or float32 or float64 in [0, 1]; read top to
                bottom unless `timing` says otherwise.
            second: likewise, of the same moment, read bottom to top.
            times: T instants in [0, 1]; by default 0 and 1 are the exposures of the first and the
                last row of the first image (see `timing`).
            timing: timing of the two sensors.

        Raises:
            InputError: the arrays are not two images of equal shape and supported dtype, or have
                fewer than 2 rows.
            ValueError: no instants, or one outside [0, 1].
        """
        timing = timing or CameraTiming()
        views = timing.orient(_to_tensor("first", first), _to_tensor("second", second))
        if first.shape != second.shape or first.dtype != second.dtype:
            raise InputError(
                f"second image: expected {first.shape} {first.dtype} like the first, "
                f"got {second.shape} {second.dtype}"
            )
        scan = timing.scan_time(views[0].shape[-2])
        frames = timing.restore(self._method(torch.stack(views), times, scan_time=scan).frames)
        values = frames.permute(0, 2, 3, 1).cpu().numpy() * np.float32(
            _MAX_VALUES[first.dtype.name]
        )
        if np.issubdtype(first.dtype, np.integer):
            values = np.round(values)
        return values.astype(first.dtype)


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
        raise InputError(f"{name} image: expected a NumPy array, got {type(image).__name__}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype.name not in _MAX_VALUES:
        raise InputError(
            f"{name} image: expected (H, W, 3) RGB of {', '.join(_MAX_VALUES)}, "
            f"got {image.shape} {image.dtype}"
        )
    values = image / np.float32(_MAX_VALUES[image.dtype.name])
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise InputError(
            f"{name} image: expected values in [0, 1], got {values.min():.9g} to {values.max():.9g}"
        )
    return torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)
