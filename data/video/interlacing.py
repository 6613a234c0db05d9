"""Interlaced pictures: the odd and the even rows show two instants."""

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

_BLOCK = 8  # pixels
_NOISE = 8.0  # grey levels of second differences that count as structure
_COMBED_RATIO = 1.5
_COMBED_BLOCKS = 0.005  # of a frame


def is_combed(frame: VideoFrame) -> bool:
    """Whether rows of a frame differ from their neighbours as two moving fields do.

    In a picture of one instant neighbouring rows differ less than those of the same field, which
    are twice as far apart. Files may be flagged interlaced though both fields show one instant.
    """
    grey: NDArray[np.int16] = frame.reformat(format="gray").to_ndarray().astype(np.int16)
    if grey.shape[0] < 3 * _BLOCK or grey.shape[1] < _BLOCK:
        return False
    middle = 2 * grey[2:-2]
    between = _block_means(np.abs(grey[1:-3] + grey[3:-1] - middle))
    within = _block_means(np.abs(grey[:-4] + grey[4:] - middle))
    combed = between > _COMBED_RATIO * within + _NOISE
    return float(combed.mean()) > _COMBED_BLOCKS


def _block_means(values: NDArray[np.int16]) -> NDArray[np.float64]:
    rows, columns = (side // _BLOCK for side in values.shape)
    cut = values[: rows * _BLOCK, : columns * _BLOCK]
    return cut.reshape(rows, _BLOCK, columns, _BLOCK).mean((1, 3), dtype=np.float64)
