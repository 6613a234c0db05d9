"""Interlaced pictures: the odd and the even rows show two instants."""

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

_BLOCK = 8  # pixels
_NOISE = 8.0  # grey levels of second differences that count as structure
_COMBED_RATIO = 1.5
_COMBED_BLOCKS = 0.005  # of a frame
_CHANGED = 3.0  # grey levels between frames, of what moves
_MOVING_SHARE = 0.7  # of the combed blocks
_MAX_COMBED = 2  # frames; a cut between two scenes may look combed once
_ALL_TESTED, _TESTED_EVERY = 16, 8  # frames of a file without the flag: from its first on, later


class Combing:
    """Whether the frames of a video are combed, given one after the other."""

    def __init__(self) -> None:
        """Begin before the first frame."""
        self._combed = self._number = 0
        self._before: VideoFrame | None = None
        self.is_flagged = False

    def add(self, frame: VideoFrame) -> None:
        """Look at the next frame: all that are flagged interlaced, and a part of the others."""
        self.is_flagged = self.is_flagged or frame.interlaced_frame
        is_tested = self._number < _ALL_TESTED or self._number % _TESTED_EVERY == 0
        if not self.is_found:
            if frame.interlaced_frame:
                self._combed += is_combed(frame)
            elif is_tested and self._before is not None:
                self._combed += is_combed(frame, self._before)
        self._before = frame
        self._number += 1

    @property
    def is_found(self) -> bool:
        """Whether frames show two instants."""
        return self._combed >= _MAX_COMBED


def is_combed(frame: VideoFrame, before: VideoFrame | None = None) -> bool:
    """Whether rows of a frame differ from their neighbours as two moving fields do.

    In a picture of one instant neighbouring rows differ less than those of the same field, which
    are twice as far apart. Files may be flagged interlaced though both fields show one instant.
    Given the frame before, only what changed counts, and most must have: fine stripes that rest
    are not combing.
    """
    grey = _grey(frame)
    if grey.shape[0] < 3 * _BLOCK or grey.shape[1] < _BLOCK:
        return False
    middle = 2 * grey[2:-2]
    between = _block_means(np.abs(grey[1:-3] + grey[3:-1] - middle))
    within = _block_means(np.abs(grey[:-4] + grey[4:] - middle))
    combed = between > _COMBED_RATIO * within + _NOISE
    if before is not None and (previous := _grey(before)).shape == grey.shape:
        changed = _block_means(np.abs(grey - previous)[2:-2]) > _CHANGED
        if (combed & changed).sum() < _MOVING_SHARE * combed.sum():
            return False
        combed &= changed
    return float(combed.mean()) > _COMBED_BLOCKS


def _grey(frame: VideoFrame) -> NDArray[np.int16]:
    return np.asarray(frame.reformat(format="gray").to_ndarray(), np.int16)


def _block_means(values: NDArray[np.int16]) -> NDArray[np.float64]:
    rows, columns = (side // _BLOCK for side in values.shape)
    cut = values[: rows * _BLOCK, : columns * _BLOCK]
    return cut.reshape(rows, _BLOCK, columns, _BLOCK).mean((1, 3), dtype=np.float64)
