"""Checks of the inputs of corrections and flow networks."""

from collections.abc import Sequence

from torch import Tensor

from utils.errors import InputError


def check_size(pair: Tensor) -> tuple[int, int]:
    """Check a pair (2, 3, H, W) and return its height and width.

    Raises:
        InputError: the images have a single row.
        ValueError: another shape.
    """
    if pair.ndim != 4 or pair.shape[:2] != (2, 3) or pair.shape[-1] < 1:
        raise ValueError(f"pair must be (2, 3, H, W), got {tuple(pair.shape)}")
    height, width = pair.shape[-2:]
    if height < 2:
        raise InputError(
            f"images of {height} row x {width} columns have no rolling shutter to correct: "
            "rows are read one after the other, so at least 2 are needed"
        )
    return height, width


def check_times(times: Sequence[float]) -> None:
    """Check that there are instants, all in [0, 1].

    Raises:
        ValueError: there are none, or one lies outside.
    """
    if not len(times) or not all(0 <= instant <= 1 for instant in times):
        raise ValueError(f"expected instants in [0, 1], got {list(times)}")


def check_scan(scan_time: Tensor, height: int) -> None:
    """Check that there is one exposure time per row, and that rows are read one after the other.

    Raises:
        ValueError: another shape than (height,), a time that is not finite, or equal times of the
            first row and the last.
    """
    if scan_time.shape != (height,):
        raise ValueError(f"scan_time must be ({height},), got {tuple(scan_time.shape)}")
    if not scan_time.isfinite().all() or scan_time[0] == scan_time[-1]:
        ends = f"{float(scan_time[0]):g} to {float(scan_time[-1]):g}"
        raise ValueError(f"scan_time must be finite and differ between the ends, got {ends}")


def check_frames(first: Tensor, second: Tensor) -> None:
    """Check the images of a flow network.

    Raises:
        ValueError: the images are not of one shape (B, 3, H, W).
    """
    if first.ndim != 4 or first.shape[1] != 3 or first.shape != second.shape:
        got = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(f"images must both be (B, 3, H, W), got {got}")
