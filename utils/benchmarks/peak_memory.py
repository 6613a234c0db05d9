"""Peak memory of a correction, measured in a process of its own."""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F

from models.architecture import load_network
from models.generator import Generator
from models.inference.arrays import BUNDLED_WEIGHTS
from models.inference.correction import correct, correct_classically
from models.parts.settings import InferenceSettings

PeakMethod = Literal["bundled", "classical", "generator"]
"""The bundled network, the classical correction, or a generator of full width."""

_FRAMES = (0.0, 0.5, 1.0) * 3
"""Nine frames, as much memory as nine instants take, yet a single pass of a generator."""
_SHIFT = 24  # px between the views


def measure_peak(method: PeakMethod, size: tuple[int, int], tile: int | None) -> float:
    """Bytes that the process which makes nine frames of (H, W) holds at most.

    Raises:
        RuntimeError: it failed.
    """
    command = [
        sys.executable,
        "-m",
        "utils.benchmarks.peak_memory",
        method,
        *map(str, size),
        str(tile or 0),
    ]
    here = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return float(done.stdout)


def main() -> None:
    """Correct two smooth views that differ by a shift, and in a corner by all.

    What does not match is searched for other motion, which takes memory of its own.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=get_args(PeakMethod))
    for name in ("height", "width"):
        parser.add_argument(name, type=int)
    parser.add_argument("tile", type=int, help="px a side; 0: the whole image at once")
    arguments = parser.parse_args()
    method, height, width = arguments.method, arguments.height, arguments.width
    torch.manual_seed(0)
    coarse = torch.rand(2, 3, height // 16 + 1, (width + _SHIFT) // 16 + 1)
    first, second = F.interpolate(coarse, size=(height, width + _SHIFT), mode="bilinear")
    second[..., :-_SHIFT] = first[..., _SHIFT:]
    second[:, : height // 4, : width // 4] = 1 - first[:, : height // 4, : width // 4]
    pair = torch.stack((first[..., :width], second[..., :width]))
    del coarse, first, second
    if method == "classical":
        correct_classically(pair, _FRAMES)
    else:
        network = load_network(BUNDLED_WEIGHTS) if method == "bundled" else Generator().eval()
        correct(network, pair, _FRAMES, settings=InferenceSettings(tile=arguments.tile or None))
    sys.stdout.write(f"{own_peak()}\n")


def own_peak() -> int:
    """Bytes that this process has held at most (Linux).

    `getrusage` would include the process that started this one.
    """
    return own_memory("VmHWM")


def own_memory(kind: Literal["VmHWM", "VmRSS"] = "VmRSS") -> int:
    """Bytes that this process holds, by default now (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{kind}:")))


if __name__ == "__main__":
    main()
