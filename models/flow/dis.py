"""DIS optical flow (Kroeger et al., ECCV 2016) by OpenCV, which needs no weight file."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.parts.checks import check_frames

# An 8-pixel patch must fit the half-size image on which the search ends; OpenCV reads outside it
# where it does not, and refuses only sides below 12.
_MIN_SIDE = 16

_Images = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
_remembered: list[tuple[_Images, npt.NDArray[np.float32]]] | None = None

_THREADS_LOCK = threading.Lock()
_thread_counts: list[int] = []  # OpenCV's before each `single_threaded_opencv` that is active


class DISFlow(nn.Module):
    """Dense inverse search, a substitute for PWC-Net where its weights are not available.

    It has no parameters and passes no gradient to the images.
    """

    @torch.no_grad()
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Flow from `first` to `second`: where each pixel of `first` is found in `second`.

        Args:
            first: (B, 3, H, W) RGB in [0, 1], any size and device.
            second: (B, 3, H, W).

        Returns:
            (B, 2, H, W) displacements (dx, dy) in pixels, of the device and dtype of `first`.

        Raises:
            ValueError: the images are not of one shape (B, 3, H, W).
        """
        check_frames(first, second)
        lumas = (
            [to_luma(image) for image in images.float().permute(0, 2, 3, 1).cpu().numpy()]
            for images in (first, second)
        )
        with single_threaded_opencv(), ThreadPoolExecutor(os.cpu_count()) as pool:
            flows = list(pool.map(search_flow, *lumas))
        return torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2).to(first)


def search_flow(
    first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    """Flow (H, W, 2) between two grey images (H, W)."""
    for known, flow in _remembered or ():
        if all(map(np.array_equal, known, (first, second))):
            return flow
    flow = _search(first, second)
    if _remembered is not None:
        _remembered.append(((first, second), flow))
    return flow


@contextmanager
def remembered_flows() -> Iterator[None]:
    """Search the flow between equal images once in this block; one block of a process at a time.

    The check of a capture and its classical motion ask for the same flows.
    """
    global _remembered
    _remembered = []
    try:
        yield
    finally:
        _remembered = None


def _search(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    height, width = first.shape
    padding = ((0, max(_MIN_SIDE - height, 0)), (0, max(_MIN_SIDE - width, 0)))
    # Each call has its own searcher: they keep buffers and must not be shared between threads.
    searcher = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    start, end = (np.pad(image, padding, mode="edge") for image in (first, second))
    # OpenCV's stubs forget that the third argument, an initial flow, is optional.
    flow: npt.NDArray[np.float32] = searcher.calc(start, end, None)  # type: ignore[call-overload]
    return flow[:height, :width]


def to_luma(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Luma (BT.601) of an RGB image (H, W, 3) in [0, 1], rounded to 8 bits: (H, W)."""
    luma = image @ np.array((0.299, 0.587, 0.114), dtype=np.float32)
    return np.clip(np.round(luma * 255), 0, 255).astype(np.uint8)


@contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """Keep OpenCV from starting its thread pool, which hangs data-loading workers forked later.

    The setting applies to the process; it is restored when the last active block ends.
    """
    with _THREADS_LOCK:
        _thread_counts.append(cv2.getNumThreads())
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        with _THREADS_LOCK:
            # Blocks of several threads may end in any order: the last to end pops the first count.
            cv2.setNumThreads(_thread_counts.pop())
