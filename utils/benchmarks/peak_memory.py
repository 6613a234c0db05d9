"""Peak memory of a correction, in a process of its own that imports little else."""

from typing import Literal

from models.arrays import BUNDLED_WEIGHTS
from models.generator import Generator
from models.inference.correction import correct, correct_classically
from models.networks import network_class
from models.parts.network import CorrectionNetwork
from models.parts.settings import InferenceSettings, frame_instants
from models.reference.generator import plain_correct
from utils.benchmarks.measuring import own_memory, smooth_pair, start_process
from utils.checkpoint import load_generator

PeakMethod = Literal["generator", "bundled", "selfdrsc_plusplus", "ifed", "classical"]
"""A network of full width by its `net_type`, the bundled one, or the classical correction."""

_SHIFT = 24  # px between the views


def measure_peak(
    method: PeakMethod | Literal["released"], size: tuple[int, int], tile: int | None
) -> int:
    """Peak bytes of a process that makes nine frames of (H, W), in tiles of `tile` px or whole.

    "released" is the released loop at full width (`models.reference.generator`).
    """
    with start_process() as process:
        return process.submit(_find_peak, method, size, tile).result()


def _find_peak(
    method: PeakMethod | Literal["released"], size: tuple[int, int], tile: int | None
) -> int:
    """Peak bytes of correcting two views that differ by a shift, with one corner inverted.

    The classical method searches the corner for other motion, which takes additional memory. The
    nine frames take the memory of nine instants in a single pass of a generator.
    """
    pair, times = smooth_pair(size), frame_instants(9) if method == "ifed" else (0.0, 0.5, 1.0) * 3
    pair[1] = pair[0].roll(-_SHIFT, dims=-1)
    pair[1, :, : size[0] // 4, : size[1] // 4] = 1 - pair[0, :, : size[0] // 4, : size[1] // 4]
    if method == "released":
        plain_correct(Generator().eval(), pair, 9)
    elif method == "classical":
        correct_classically(pair, times)
    else:
        correct(build(method), pair, times, settings=InferenceSettings(tile=tile))
    return own_memory("VmHWM")


def build(method: PeakMethod) -> CorrectionNetwork:
    """The bundled network, or an untrained one of full width; IFED's makes nine frames."""
    if method == "bundled":
        return load_generator(BUNDLED_WEIGHTS)
    return network_class(method)(num_frames=9 if method == "ifed" else 3).eval()
