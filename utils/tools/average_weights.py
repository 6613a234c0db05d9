"""Average two sets of weights of one network.

`python -m utils.tools.average_weights FIRST SECOND OUT`

The average of weights before and after fine-tuning often keeps what each does well (Wortsman et
al., Robust fine-tuning of zero-shot models, CVPR 2022).
"""

import argparse
import sys
from pathlib import Path

import torch

from models.architecture import Architecture, load_network
from utils.checkpoint import save_weights
from utils.errors import InputError
from utils.options.command_line import run


def average(first: str | Path, second: str | Path, output: str | Path, share: float) -> None:
    """Write (1 - share) * first + share * second, in half precision.

    Args:
        first: weights, ours or released.
        second: weights of the same network.
        output: the `.safetensors` file to write, replaced atomically.
        share: of the second, in [0, 1].

    Raises:
        InputError: a file cannot be read, the networks differ, `share` is out of range, or `output`
            has another suffix or cannot be written.
    """
    if not 0 <= share <= 1:
        raise InputError(f"--share: expected a number from 0 to 1, got {share}")
    if Path(output).suffix != ".safetensors":
        raise InputError(f"{output}: expected a name that ends in .safetensors")
    start, end = load_network(first), load_network(second)
    if Architecture.of(start) != Architecture.of(end):
        raise InputError(
            f"{second}: expected {Architecture.of(start)} as in {first}, got {Architecture.of(end)}"
        )
    with torch.no_grad():
        for mean, other in zip(start.parameters(), end.parameters(), strict=True):
            mean.copy_((1 - share) * mean + share * other)
    save_weights(output, start, half=True)


def main() -> None:
    """Read the command line and write the average."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.tools.average_weights", description=__doc__
    )
    parser.add_argument("first", help="weights, such as those before fine-tuning")
    parser.add_argument("second", help="weights of the same network, such as those after it")
    parser.add_argument("output", type=Path, help="file to write, .safetensors")
    parser.add_argument("--share", type=float, default=0.5, help="of the second, 0 to 1")
    arguments = parser.parse_args()
    average(arguments.first, arguments.second, arguments.output, arguments.share)
    sys.stdout.write(f"{arguments.output}: written\n")


if __name__ == "__main__":
    run(main)
