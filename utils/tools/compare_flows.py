"""Compare flow networks where the flow is known: `python -m utils.tools.compare_flows`.

Prints a Markdown table of mean endpoint errors on simulated scenes, or with `--folder` on frames
and flow in Middlebury's layout. Networks without weights are listed with the reason.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor, nn

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
from utils.system.console import progress_bar
from utils.training.flow_scores import mean_scores, score_pair

_SEED = 2_000_000  # of the scenes; different from training's and validation's
_STRENGTH = (0.1, 1.0)
_HEADER = ("flow", "error, px", "error where visible, px", "s per pair")


def main() -> None:
    """Read the command line, measure, print the table."""
    arguments = _parse()
    device = choose_device(arguments.device)
    pairs: FlowPairs | FlowFolder
    if arguments.folder is None:
        height, width = arguments.size
        scene = SceneSettings(height=height, width=width, strength=_STRENGTH)
        pairs = FlowPairs(load_textures(arguments.photos), scene, count=arguments.count, seed=_SEED)
    else:
        pairs = FlowFolder(arguments.folder)
    sys.stdout.write(compare(arguments.flows, pairs, device))


def compare(names: Sequence[str], pairs: FlowPairs | FlowFolder, device: torch.device) -> str:
    """A Markdown table of flow networks by name, with the reasons why some were not measured."""
    rows = [_measure("no motion", _Still(), pairs, device)]
    notes = [f"{len(pairs)} pairs; the error of no motion is its mean length."]
    for name in names:
        try:
            flow = load_flow(name)
        except InputError as error:
            rows.append((name, "not measured", "", ""))
            notes.append(f"{name}: {error}.")
            continue
        rows.append(_measure(name, flow, pairs, device))
    return "\n\n".join([format_table(_HEADER, rows), *notes]) + "\n"


def _measure(
    name: str, flow: nn.Module, pairs: FlowPairs | FlowFolder, device: torch.device
) -> tuple[str, str, str, str]:
    """Row of a flow network: mean errors, and mean seconds after a first call as warm-up.

    Raises:
        InputError: a pair cannot be read.
    """
    flow = flow.to(device)
    score_pair(flow, pairs[0], device)
    scores, seconds = [], 0.0
    with progress_bar(total=len(pairs), desc=name, unit="pair") as bar:
        for index in range(len(pairs)):
            pair = pairs[index]
            start = time.perf_counter()
            scores.append(score_pair(flow, pair, device))
            seconds += time.perf_counter() - start
            bar.update()
    error, visible, _ = mean_scores(scores)
    seen = "–" if math.isnan(visible) else f"{visible:.2f}"
    return name, f"{error:.2f}", seen, f"{seconds / len(pairs):.2f}"


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
    """A flow of zero."""

    def forward(self, first: Tensor, _: Tensor) -> Tensor:
        return first.new_zeros(len(first), 2, *first.shape[-2:])


if __name__ == "__main__":
    run(main)
