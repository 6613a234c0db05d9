"""DIS optical flow (Kroeger et al., ECCV 2016) by OpenCV: flow that needs no weight file."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.parts.checks import check_frames

Luma = npt.NDArray[np.uint8]
Flows = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
FlowSearch = Callable[[Luma, Luma], Flows]

_LEAST_SIDE = 16
"""Below this an 8-pixel patch no longer fits the half-size image on which the search ends: OpenCV
then reads outside it, and refuses only what is below 12."""


class DISFlow(nn.Module):
    """Dense inverse search, the stand-in for PWC-Net where its weights cannot be had.

    It has no parameters and passes no gradient to the images.
    """

    @torch.no_grad()
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Flow from `first` to `second`: where each pixel of `first` is found in `second`.

        Args:
            first: (B, 3, H, W) RGB in [0, 1], any size and device.
            second: (B, 3, H, W).

        Returns:
            (B, 2, H, W) displacements (dx, dy) in pixels, on the device and in the type of `first`.

        Raises:
            ValueError: the images are not of one shape (B, 3, H, W).
        """
        check_frames(first, second)
        with single_threaded_opencv(), ThreadPoolExecutor(os.cpu_count()) as pool:
            flows = list(pool.map(search_flow, _luma_images(first), _luma_images(second)))
        return torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2).to(first)


def search_flow(
    first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    """Flow (H, W, 2) between two grey images (H, W)."""
    height, width = first.shape
    margin = (max(_LEAST_SIDE - height, 0), max(_LEAST_SIDE - width, 0))
    padding = [(0, margin[0]), (0, margin[1])]
    # Each call has its own searcher: they keep buffers and must not be shared between threads.
    searcher = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    start, end = (np.pad(image, padding, mode="edge") for image in (first, second))
    # OpenCV's stubs forget that the third argument, a flow to start from, is optional.
    flow: npt.NDArray[np.float32] = searcher.calc(start, end, None)  # type: ignore[call-overload]
    return flow[:height, :width]


def search_both_ways(first: Luma, second: Luma) -> Flows:
    """Flows (H, W, 2) from `first` to `second` and back, searched in parallel."""
    with ThreadPoolExecutor(2) as pool:
        there, back = pool.map(search_flow, (first, second), (second, first))
    return there, back


class SharedFlowSearch:
    """Two searches of the same images: `find` keeps its flows for the `reuse` that follows."""

    _found: tuple[Luma, Luma, Flows] | None = None

    def find(self, first: Luma, second: Luma) -> Flows:
        """`search_both_ways`; the flows are kept."""
        flows = search_both_ways(first, second)
        self._found = first, second, flows
        return flows

    def reuse(self, first: Luma, second: Luma) -> Flows:
        """The flows kept, or new ones if the images differ; none are kept after that."""
        found, self._found = self._found, None
        if found and np.array_equal(found[0], first) and np.array_equal(found[1], second):
            return found[2]
        return search_both_ways(first, second)


def to_luma(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Luma (BT.601) of an RGB image (H, W, 3) in [0, 1], rounded to 8 bits: (H, W)."""
    luma = image @ np.array((0.299, 0.587, 0.114), dtype=np.float32)
    grey: npt.NDArray[np.uint8] = np.clip(np.round(luma * 255), 0, 255).astype(np.uint8)
    return grey


def _luma_images(images: Tensor) -> list[npt.NDArray[np.uint8]]:
    return [to_luma(image) for image in images.float().permute(0, 2, 3, 1).cpu().numpy()]


class _OpenCVThreads:
    """Who needs OpenCV to have one thread, and how many it had before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before = 0

    def take(self) -> None:
        with self._lock:
            if not self._users:
                self._before = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._users += 1

    def give_back(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                cv2.setNumThreads(self._before)


_THREADS = _OpenCVThreads()


@contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """Keep OpenCV from starting its thread pool: data-loading workers forked after that hang.

    The setting is the process's: it lasts until the last of the threads in such a block leaves it.
    """
    _THREADS.take()
    try:
        yield
    finally:
        _THREADS.give_back()
