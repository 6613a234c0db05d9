"""Both views of a capture brought to an instant, to judge frames that have no truth."""

from typing import NamedTuple

import cv2
import numpy as np
from torch import Tensor

from data.files.images import Image, to_uint8
from models.classical.estimation import estimate_motion
from models.classical.field import MotionField, cell_centres, enlarge_cells, sample_frame
from models.flow.dis import single_threaded_opencv
from models.measurement.arrays import Array, Bools
from models.measurement.flow_measurement import to_pixels
from models.measurement.sampling import gaussian_blur, sample_image
from models.measurement.scan import Scan
from models.parts.checks import check_scan, check_size

_DERIVATIVE = 1.0  # px, standard deviation of the Gaussian whose derivative is the gradient
_WINDOW = 3.0  # px, standard deviation of the window over which gradients are averaged
_GREY = (0.299, 0.587, 0.114)


class ViewsAtInstant(NamedTuple):
    """Both views as they would look at one instant, by the classical motion.

    Attributes:
        images: t2b and b2t, each (H, W, 3) uint8, sampled bicubically.
        steepness: of each, (H, W), measured in the view itself, so that sampling does not blur it.
        inside: (H, W), where both views show the pixel's point.
        noise: standard deviation of a view's noise, in levels of 255.
    """

    images: tuple[Image, Image]
    steepness: tuple[Array, Array]
    inside: Bools
    noise: float


class BroughtViews:
    """The views of one capture, which `at` brings to any instant.

    The motion is always that of the classical correction, whatever made the frames: methods are
    judged by one measure, and a method cannot excuse its frames by its own motion.
    """

    def __init__(self, pair: Tensor, scan_time: Tensor | None = None) -> None:
        """Estimate the motion.

        Args:
            pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t.
            scan_time: (H,) exposure times of t2b's rows; by default they fill the readout.

        Raises:
            InputError: the images have a single row.
            ValueError: a shape is not as stated.
        """
        height, _ = check_size(pair)
        if scan_time is not None:
            check_scan(scan_time, height)
        t2b, b2t = to_pixels(pair)
        with single_threaded_opencv():
            self._field: MotionField = estimate_motion(t2b, b2t, Scan.of(scan_time, height))
        self._views = [to_uint8(view) for view in pair]
        self._steepness = [steepness(view) for view in self._views]

    def at(self, t: float) -> ViewsAtInstant:
        """Both views at the instant `t` in [0, 1]."""
        size = self._views[0].shape[:2]
        exposed = sample_frame(self._field, t, self._field.velocity, with_mismatch=False)
        images, steepnesses, inside = [], [], np.ones(size, np.bool_)
        x, y = cell_centres(*exposed[0].x.shape)
        for view, steep, place in zip(self._views, self._steepness, exposed, strict=True):
            offset = enlarge_cells(np.stack((place.x - x, place.y - y), axis=-1), size)
            across = offset[..., 0] + np.arange(size[1], dtype=np.float32)
            down = offset[..., 1] + np.arange(size[0], dtype=np.float32)[:, None]
            bicubic = cv2.remap(
                view, across, down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
            )
            images.append(np.asarray(bicubic, np.uint8))
            steepnesses.append(sample_image(steep, across, down))
            inside &= (across >= 0) & (across <= size[1] - 1) & (down >= 0) & (down <= size[0] - 1)
        return ViewsAtInstant(
            (images[0], images[1]),
            (steepnesses[0], steepnesses[1]),
            inside,
            255 * self._field.noise,
        )


def steepness(image: Image) -> Array:
    """Root mean square (H, W) of the gradient's length around each pixel, levels of 255 per px.

    The gradient is of grey levels blurred by 1 px; the window is a Gaussian of 3 px. The mean that
    noise adds is subtracted. Halving the contrast of an edge halves the value; doubling the edge at
    half contrast (a ghost) leaves 0.7 of it.

    Args:
        image: (H, W, 3) uint8.
    """
    grey = np.asarray(image.astype(np.float32) @ np.asarray(_GREY, np.float32), np.float32)
    smooth = gaussian_blur(grey, _DERIVATIVE)
    across = cv2.filter2D(smooth, -1, np.asarray([[-0.5, 0, 0.5]], np.float32))
    down = cv2.filter2D(smooth, -1, np.asarray([[-0.5], [0], [0.5]], np.float32))
    energy = gaussian_blur(np.asarray(across * across + down * down, np.float32), _WINDOW)
    of_noise = _NOISE_ENERGY * _noise_variance(grey)
    return np.sqrt(np.maximum(energy - np.float32(of_noise), 0))


def _noise_variance(grey: Array) -> float:
    """Variance of white noise, from the median magnitude of mixed second differences.

    The filter cancels structure that varies along x or y alone (Immerkaer, 1996); the median
    ignores the few pixels of corners and texture.
    """
    kernel = np.outer((1, -2, 1), (1, -2, 1)).astype(np.float32) / 6  # unit gain for white noise
    return float(np.median(np.abs(cv2.filter2D(grey, -1, kernel))) / 0.6745) ** 2


def _noise_energy() -> float:
    """Mean squared length of the gradient that noise of variance 1 has."""
    impulse = np.zeros((15, 15), np.float32)
    impulse[7, 7] = 1
    smooth = gaussian_blur(impulse, _DERIVATIVE)
    return 2 * float(np.sum(np.square(cv2.filter2D(smooth, -1, np.asarray([[-0.5, 0, 0.5]])))))


_NOISE_ENERGY = _noise_energy()
