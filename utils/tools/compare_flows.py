"""Compare flow networks where the flow is known: `python -m utils.tools.compare_flows`.

Prints a Markdown table of mean endpoint errors, on scenes simulated from photos, or with `--folder`
on frames and flow in Middlebury's layout. A flow whose weights cannot be had is listed as not
measured, with the reason.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple, get_args

import torch
from torch import Tensor, nn
from tqdm import tqdm

from data.simulator.settings import SceneSettings
from data.simulator.textures import load_textures
from data.training.flow_pairs import FlowPairs
from data.training.middlebury import FlowFolder
from models.flow.networks import load_flow
from models.parts.device import choose_device
from utils.errors import InputError
from utils.evaluation.report import format_table
from utils.options.command_line import run
from utils.options.files import DeviceName
from utils.training.flow_scores import FlowScore, mean_scores, score_pair

_SEED = 2_000_000  # of the scenes; training and validation use others
_STRENGTH = (0.1, 1.0)
_NO_MOTION = "no motion"
_HEADER = ("flow", "error, px", "error where visible, px", "s per pair")


class Measured(NamedTuple):
    """What a flow network came to.

    Attributes:
        score: means over the pairs.
        seconds: mean time per pair.
    """

    score: FlowScore
    seconds: float


def main() -> None:
    """Read the command line, measure, print the table."""
    arguments = _parse()
    device = choose_device(arguments.device)
    pairs = _pairs(arguments)
    sys.stdout.write(compare(arguments.flows, pairs, device))


def compare(names: Sequence[str], pairs: FlowPairs | FlowFolder, device: torch.device) -> str:
    """A Markdown table of flow networks by name, and why some of them could not be measured."""
    rows = [_row(_NO_MOTION, measure(_Still(), pairs, device))]
    notes = [f"{len(pairs)} pairs; the error of no motion is its mean length."]
    for name in names:
        try:
            flow = load_flow(name)
        except InputError as error:
            rows.append((name, "not measured", "", ""))
            notes.append(f"{name}: {error}.")
            continue
        rows.append(_row(name, measure(flow, pairs, device, name=name)))
    return "\n\n".join([format_table(_HEADER, rows), *notes]) + "\n"


def measure(
    flow: nn.Module, pairs: FlowPairs | FlowFolder, device: torch.device, *, name: str = ""
) -> Measured:
    """Score a flow network on pairs, and take its time, after a first call that does not count.

    Raises:
        InputError: a pair cannot be read.
    """
    flow = flow.to(device)
    score_pair(flow, pairs[0], device)
    scores, seconds = [], 0.0
    for index in tqdm(range(len(pairs)), desc=name, disable=None):
        pair = pairs[index]
        start = time.perf_counter()
        scores.append(score_pair(flow, pair, device))
        seconds += time.perf_counter() - start
    return Measured(mean_scores(scores), seconds / len(pairs))


def _row(name: str, measured: Measured) -> tuple[str, ...]:
    """A line of the table."""
    error, visible, _ = measured.score
    seen = "–" if math.isnan(visible) else f"{visible:.2f}"
    return name, f"{error:.2f}", seen, f"{measured.seconds:.2f}"


def _pairs(arguments: argparse.Namespace) -> FlowPairs | FlowFolder:
    if arguments.folder is not None:
        return FlowFolder(arguments.folder)
    height, width = arguments.size
    scene = SceneSettings(height=height, width=width, strength=_STRENGTH)
    textures = load_textures(arguments.photos)
    return FlowPairs(textures, scene, count=arguments.count, seed=_SEED)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--flows",
        nargs="+",
        metavar="FLOW",
        default=["dis"],
        help='"dis", "raft_small", "raft_large" or files of PWC-Net weights',
    )
    parser.add_argument("--count", type=_positive, default=20, help="how many simulated pairs")
    parser.add_argument(
        "--size",
        type=_positive,
        nargs=2,
        metavar=("ROWS", "COLUMNS"),
        default=(540, 960),
        help="of the simulated frames",
    )
    parser.add_argument("--photos", metavar="DIR", help="photos; scikit-image's if not given")
    parser.add_argument("--folder", metavar="DIR", help="measure on frame10, frame11, flow10.flo")
    parser.add_argument("--device", choices=get_args(DeviceName), default="auto")
    return parser.parse_args()


def _positive(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {text}")
    return value


class _Still(nn.Module):
    """The answer that nothing moves."""

    def forward(self, first: Tensor, _: Tensor) -> Tensor:
        return first.new_zeros(len(first), 2, *first.shape[-2:])


if __name__ == "__main__":
    run(main)
