"""Motion of the camera from flow between the two views of a capture, by robust least squares."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

_PLANE_TERMS, _SWING_PLACES, _SWING_TERMS = 8, 3, 2
_LEAST_MEASUREMENTS = 40  # of two equations each, for 20 coefficients
_STEPS = 12
_FIRST_SCALE, _LAST_SCALE, _SCALE_DECAY = 8.0, 0.5, 0.7  # px
_RIDGE = (1e-6,) * 6 + (1e-4,) * 2 + ((1e-5,) * 2 + (1e-3,) * 4) * 2


@dataclass(frozen=True)
class CameraMotion:
    """Velocities of a plane seen by a moving camera, and how the camera shakes meanwhile.

    Attributes:
        plane: (8,) coefficients of the velocity field of a homography.
        shake: (2, 3, 2) component (x, y), dependence on place (1, x, y), swing term.
        size: (H, W) of the image.
    """

    plane: Array
    shake: Array
    size: tuple[int, int]

    def velocity(self, x: Array, y: Array) -> Array:
        """(..., 2) px per readout at pixels (x, y)."""
        return (_plane_basis(x, y, self.size) @ self.plane).astype(np.float32)

    def swing(self, x: Array, y: Array) -> Array:
        """(..., 2, 2) coefficients of `swing_basis` of the x and y components at pixels (x, y)."""
        places = _places(x, y, self.size)
        return np.einsum("...p,cpn->...cn", places, self.shake).astype(np.float32)


def swing_basis(instant: Array | np.float32, reach: float) -> Array:
    """Deviations from uniform motion that are odd about t = 1/2: (..., 2).

    With e = (t - 1/2) / (2 reach): e - 4 e^3 and 4 e^2 times that, zero at e = -1/2, 0 and 1/2, and
    beyond, where nothing was exposed.

    Args:
        instant: t, any shape.
        reach: time from 1/2 to the first or last exposure, whichever is longer.
    """
    e = np.asarray(instant, dtype=np.float32) - np.float32(0.5)
    e = np.clip(e / np.float32(2 * reach), np.float32(-0.5), np.float32(0.5))
    square = 4 * e * e  # products: NumPy's powers are ten times slower
    first = e - square * e
    return np.stack((first, square * first), axis=-1)


def fit_camera_motion(
    measured: Sequence[tuple[Array, ...]], size: tuple[int, int], reach: float
) -> CameraMotion:
    """Fit the motion that most of the image shares.

    Residuals count by 1 / (1 + r^2 / scale^2)^2, the scale shrinking step by step to 0.5 px: what
    moves by itself loses its influence. From too few measurements the camera is taken to rest.

    Args:
        measured: for each view arrays of one shape: x and y at t = 1/2, exposure instant, gap,
            displacement over the gap (..., 2), confidence.
        size: (H, W) of the image.
        reach: of the exposures, as `swing_basis` takes it.
    """
    rows_x, rows_y, flows, confidences = [], [], [], []
    for x, y, own, gap, flow, confidence in measured:
        used = confidence > 0.1
        plane = _plane_basis(x, y, size)[used] * gap[used][:, None, None]
        elapsed = (swing_basis(own + gap, reach) - swing_basis(own, reach))[used]
        swing = (_places(x, y, size)[used][:, :, None] * elapsed[:, None, :]).reshape(-1, 6)
        nothing = np.zeros_like(swing)
        rows_x.append(np.concatenate((plane[:, 0], swing, nothing), axis=1))
        rows_y.append(np.concatenate((plane[:, 1], nothing, swing), axis=1))
        flows.append(flow[used])
        confidences.append(confidence[used])
    solution = _fit(
        (np.concatenate(rows_x), np.concatenate(rows_y)),
        np.concatenate(flows),
        np.concatenate(confidences),
    )
    shake = solution[_PLANE_TERMS:].reshape(2, _SWING_PLACES, _SWING_TERMS)
    return CameraMotion(solution[:_PLANE_TERMS], shake, size)


def _fit(rows: tuple[Array, Array], flow: Array, confidence: Array) -> Array:
    """Coefficients with rows[c] @ coefficients = flow[:, c], robustly."""
    coefficients: Array = np.zeros(len(_RIDGE), np.float32)
    count = len(flow)
    if count < _LEAST_MEASUREMENTS:
        return coefficients
    weight, scale = confidence, _FIRST_SCALE
    for _ in range(_STEPS):
        normal: npt.NDArray[np.float64] = np.diag(_RIDGE)
        right: npt.NDArray[np.float64] = np.zeros(len(_RIDGE))
        for component, terms in enumerate(rows):
            weighted = terms * weight[:, None]
            normal = normal + weighted.T @ terms / count
            right = right + weighted.T @ flow[:, component] / count
        coefficients = np.linalg.solve(normal, right).astype(np.float32)
        residual = [flow[:, c] - terms @ coefficients for c, terms in enumerate(rows)]
        squared = residual[0] ** 2 + residual[1] ** 2
        weight = confidence / (1 + squared / scale**2) ** 2
        scale = max(scale * _SCALE_DECAY, _LAST_SCALE)
    return coefficients


def _plane_basis(x: Array, y: Array, size: tuple[int, int]) -> Array:
    """(..., 2, 8): both components of the velocity field of a homography, one term each."""
    x, y = _normalised(x, y, size)
    one, none = np.ones_like(x), np.zeros_like(x)
    along_x = np.stack((one, x, y, none, none, none, x * x, x * y), axis=-1)
    along_y = np.stack((none, none, none, one, x, y, x * y, y * y), axis=-1)
    return np.stack((along_x, along_y), axis=-2)


def _places(x: Array, y: Array, size: tuple[int, int]) -> Array:
    x, y = _normalised(x, y, size)
    return np.stack((np.ones_like(x), x, y), axis=-1)


def _normalised(x: Array, y: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """Coordinates from the centre of the image in units of half its diagonal."""
    height, width = size
    reach = np.float32(np.hypot(height, width) / 2)
    from_left, from_top = x - (width - 1) / 2, y - (height - 1) / 2
    return from_left.astype(np.float32) / reach, from_top.astype(np.float32) / reach
