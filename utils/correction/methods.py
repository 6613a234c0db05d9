"""The method that the options of a test script ask for."""

import hashlib
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from models.classical.correction import correct_classically
from models.flow.dis import FlowSearch, SharedFlowSearch, search_both_ways
from models.inference.correction import Method, correct
from models.inference.correction_flows import (
    FlowMethod,
    correct_classically_with_flows,
    correct_with_flows,
)
from models.inference.passes import InferenceSettings
from models.inference.self_ensemble import average_both_ways, average_both_ways_with_flows
from models.refiner.network import Refiner
from utils.checkpoint import load_generator
from utils.errors import InputError
from utils.evaluation.evaluate import BASELINE_NAMES
from utils.options.evaluation import MethodOptions

_CHUNK = 1 << 20  # bytes


class NamedMethod(NamedTuple):
    """A way to make frames.

    Attributes:
        name: what tables call it.
        correct: makes the frames.
        with_flows: makes the frames and their flow fields.
        search: finds the flows of a pair; a correction of that pair then reuses them if it can.
    """

    name: str
    correct: Method
    with_flows: FlowMethod
    search: FlowSearch = search_both_ways


def identify_method(options: MethodOptions) -> dict[str, str]:
    """What its frames depend on: the kind of method and, for a network, a digest of its weights.

    Raises:
        InputError: the weights cannot be read.
    """
    weights = options.path.pretrained_netG
    averaged = {"self_ensemble": "yes"} if options.self_ensemble else {}
    if options.method == "classical" or weights is None:
        return {"method": "classical", **averaged}
    about = {"method": "network", "weights": _digest(weights), "precision": options.precision}
    return about | averaged


def load_method(options: MethodOptions, device: torch.device | str) -> NamedMethod:
    """The classical correction, or a network with its weights, named after their file.

    A file that is named like a baseline keeps its suffix in the name, so that tables show both.

    Raises:
        InputError: the weights cannot be loaded.
    """
    method = _load_plain(options, device)
    if not options.self_ensemble:
        return method
    return method._replace(
        name=f"{method.name}, self-ensemble",
        correct=average_both_ways(method.correct),
        with_flows=average_both_ways_with_flows(method.with_flows),
    )


def _load_plain(options: MethodOptions, device: torch.device | str) -> NamedMethod:
    weights, shared = options.path.pretrained_netG, SharedFlowSearch()
    if options.method == "classical" or weights is None:
        return NamedMethod(
            "classical",
            partial(correct_classically, search=shared.reuse),
            partial(correct_classically_with_flows, search=shared.reuse),
            shared.find,
        )
    file = Path(weights)
    name = file.name if file.stem in BASELINE_NAMES.values() else file.stem
    generator = load_generator(weights, device)
    settings = InferenceSettings(options.precision, options.tile, shared.reuse)
    return NamedMethod(
        name,
        partial(correct, generator, settings=settings),
        partial(correct_with_flows, generator, settings=settings),
        shared.find if isinstance(generator, Refiner) else search_both_ways,
    )


def _digest(path: str) -> str:
    """SHA-256 of a file's content."""
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()
