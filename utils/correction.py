"""Load the method of correction that the options of a test script name."""

import hashlib
import sys
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import NamedTuple

import torch

from models.architecture import load_network
from models.device_motion.estimation import takes_tensors
from models.inference.correction import (
    BASELINES,
    CLASSICAL,
    Correction,
    correct,
    correct_classically,
    instants_of,
    network_of,
    self_ensemble,
)
from models.inference.released import correct_released
from models.inference.tiling import estimate_memory
from models.parts.precision import slow_bfloat16
from models.parts.settings import InferenceSettings, list_instants
from models.refiner.network import Refiner
from models.weight_files import read_architecture, read_content
from utils.errors import InputError
from utils.options.evaluation import MethodOptions
from utils.options.methods import METHODS

_CLASSICAL_BYTES = 0.5e9  # of a process without a network
_MOTION_BYTES = 800  # per pixel, while motion is estimated


class NamedCorrection(NamedTuple):
    """A method of correction and its name in tables.

    Attributes:
        name: in tables.
        correct: makes the frames.
        follows_motion: whether it starts from classical motion (`models.clip.correction`).
    """

    name: str
    correct: Correction
    follows_motion: bool = False


def load_method(options: MethodOptions, device: torch.device | str) -> NamedCorrection:
    """Load the method of the options, with test-time augmentation if `self_ensemble`.

    Raises:
        InputError: its weights cannot be loaded, or the device cannot estimate motion as asked for.
    """
    takes_tensors(options.motion_estimate, torch.device(device))  # refused before frames are made
    loaded: NamedCorrection = resolve_name(METHODS[options.method])(options, device)
    if not options.self_ensemble:
        return loaded
    return NamedCorrection(f"{loaded.name}, self-ensemble", self_ensemble(loaded.correct))


def load_network_method(options: MethodOptions, device: torch.device | str) -> NamedCorrection:
    """Load the network of `path.pretrained_netG`, named after its weight file.

    If that is the name of a baseline, the suffix is kept, to tell them apart in tables.

    Raises:
        InputError: the weights cannot be loaded.
    """
    file = Path(str(options.path.pretrained_netG))
    network = load_network(file, device)
    if note := slow_bfloat16(options.precision, torch.device(device)):
        sys.stderr.write(f"{note}\n")
    settings = InferenceSettings(
        options.precision, options.tile, options.blending, options.motion_estimate
    )
    name = file.name if file.stem in BASELINES else file.stem
    if options.inference != "ours":
        composed = partial(
            correct_released,
            network,
            composition=options.inference,
            precision=options.precision,
        )
        return NamedCorrection(f"{name}, {options.inference}", composed)
    corrected = partial(correct, network, settings=settings)
    return NamedCorrection(name, corrected, follows_motion=network.needs_cues)


def load_classical_method(options: MethodOptions, device: torch.device | str) -> NamedCorrection:
    """The classical correction, which needs no weights."""
    corrected: Correction = CLASSICAL[options.blending]
    if options.motion_estimate != "auto":
        corrected = partial(
            correct_classically,
            blending=options.blending,
            motion_estimate=options.motion_estimate,
        )
    return NamedCorrection("classical", corrected, follows_motion=True)


def memory_of(method: Correction, size: tuple[int, int], frames: int) -> float:
    """Estimate the memory in bytes of a process that makes frames of pairs, one after the other.

    Args:
        method: makes the frames.
        size: (H, W) of the images.
        frames: of each pair.
    """
    pixels, network = size[0] * size[1], network_of(method)
    motion = _MOTION_BYTES * pixels
    if network is not None:
        return estimate_memory(network, size, frames) + motion
    return _CLASSICAL_BYTES + motion + 4 * 3 * (frames + 2) * pixels


def expect_any_instant(method: NamedCorrection) -> None:
    """Check that a method may be used with neighbouring pairs.

    Raises:
        InputError: its network makes certain instants only.
    """
    instants = instants_of(method.correct)
    if instants is not None:
        raise InputError(
            f"{method.name}: its network makes frames at t = {list_instants(instants)} only, and "
            "context 'clip' needs others between pairs; set context=pair"
        )


def compensates_misalignment(options: MethodOptions) -> bool:
    """Whether the method models a displacement between the cameras by itself.

    Raises:
        InputError: its weights cannot be read.
    """
    if options.method == "classical":
        return True
    path = Path(str(options.path.pretrained_netG))
    read_content(path)
    return read_architecture(path).get("net_type") == Refiner.net_type


def identify_method(options: MethodOptions) -> dict[str, str]:
    """Everything that the frames depend on: method and, for a network, a digest of its weights.

    Raises:
        InputError: the weights cannot be read.
    """
    about = {"method": options.method, "context": options.context}
    about["blending"] = options.blending
    if options.motion_estimate != "auto":
        about["motion_estimate"] = options.motion_estimate
    if options.inference != "ours":
        about["inference"] = options.inference
    if options.method == "network":
        path = Path(str(options.path.pretrained_netG))
        try:
            about["weights"] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        about["precision"] = options.precision
    if options.self_ensemble:
        about["self_ensemble"] = "yes"
    return about
