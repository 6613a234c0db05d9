"""NIQE (Mittal et al., IEEE SPL 2013) of frames, by the package `pyiqa` on the test's device."""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path

import torch

from data.files.images import Image
from utils.errors import InputError
from utils.quality.levels import levels_inside

REQUIREMENTS = "requirements-niqe.txt"
"""What NIQE needs beside requirements.txt."""

_MIN_SIDE = 192  # px: NIQE compares statistics of blocks of 96 px, of which it needs several


def load_niqe(device: torch.device | str) -> Callable[[Image, None, int], float]:
    """NIQE: how far the frame's statistics are from those of pristine photographs; less is better.

    It needs no truth. The model of pristine photographs is the authors'.

    Raises:
        InputError: the package or the model is missing.
    """
    if find_spec("pyiqa") is None:
        raise InputError(
            f"metric 'niqe': the package pyiqa is not installed; pip install -r {REQUIREMENTS}"
        )
    import pyiqa

    try:
        with redirect_stdout(sys.stderr):  # pyiqa prints a line per download
            network = pyiqa.create_metric("niqe", device=torch.device(device))
    except (OSError, HTTPException) as error:
        target = Path(torch.hub.get_dir()) / "pyiqa" / "niqe_modelparameters.mat"
        raise InputError(
            f"metric 'niqe': its model could not be downloaded ({error}): fetch {target.name} of "
            f"pyiqa elsewhere and put it at {target}, or leave niqe out of optional_metrics"
        ) from None

    def measure(frame: Image, _: None, border: int) -> float:
        levels = levels_inside(frame, border, device, least=_MIN_SIDE, metric="NIQE")
        return float(network(levels / 255))

    return measure
