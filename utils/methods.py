"""The method that the options of a test script ask for."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from models.classical import correct_classically
from models.correction import Method, correct
from utils.checkpoint import load_generator
from utils.evaluation import BASELINE_NAMES
from utils.evaluation_options import MethodOptions


class NamedMethod(NamedTuple):
    """A way to make frames and what tables call it."""

    name: str
    correct: Method


def load_method(options: MethodOptions, device: torch.device | str) -> NamedMethod:
    """The classical correction, or a network with its weights, named after their file.

    A file that is named like a baseline keeps its suffix in the name, so that tables show both.

    Raises:
        InputError: the weights cannot be loaded.
    """
    weights = options.path.pretrained_netG
    if options.method == "classical" or weights is None:
        return NamedMethod("classical", correct_classically)
    file = Path(weights)
    name = file.name if file.stem in BASELINE_NAMES.values() else file.stem
    return NamedMethod(name, partial(correct, load_generator(weights, device)))
