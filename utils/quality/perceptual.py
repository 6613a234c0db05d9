"""LPIPS (Zhang et al., CVPR 2018) of frames, by the package `lpips` on the device of the test."""

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import torch
from torchvision.models import AlexNet_Weights, VGG16_Weights

from data.files.images import Image
from models.weight_files import download_state, load_strictly
from utils.errors import InputError
from utils.quality.levels import levels_inside

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

REQUIREMENTS = "requirements-metrics.txt"
"""What the metrics with `Metric.load` need beside requirements.txt."""

_MIN_SIDE = 32  # px, below which AlexNet's features have no pixels

_BACKBONES: dict[Literal["alex", "vgg"], tuple[str, "WeightsEnum"]] = {
    "alex": ("AlexNet", AlexNet_Weights.IMAGENET1K_V1),
    "vgg": ("VGG-16", VGG16_Weights.IMAGENET1K_V1),
}

_Measure = Callable[[Image, Image, int], float]


def load_lpips_alex(device: torch.device | str) -> _Measure:
    """LPIPS on AlexNet features, the version that papers report; less is better.

    Raises:
        InputError: the package or the weights are missing.
    """
    return _load_lpips("alex", device)


def load_lpips_vgg(device: torch.device | str) -> _Measure:
    """LPIPS on VGG-16 features; less is better.

    Raises:
        InputError: the package or the weights are missing.
    """
    return _load_lpips("vgg", device)


def _load_lpips(net: Literal["alex", "vgg"], device: torch.device | str) -> _Measure:
    if find_spec("lpips") is None:
        raise InputError(
            f"metric 'lpips_{net}': the package lpips is not installed; "
            f"pip install -r {REQUIREMENTS}"
        )
    title, weights = _BACKBONES[net]
    otherwise = f", or leave lpips_{net} out of optional_metrics"
    state = download_state(weights, name=f"metric 'lpips_{net}': {title}", otherwise=otherwise)
    import lpips

    with warnings.catch_warnings():  # lpips 0.1.4 names torchvision's weights the old way
        warnings.simplefilter("ignore", UserWarning)
        network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    # lpips cuts the layers into slices, which keep torchvision's numbers: slice2.3 is features.3.
    ours = {
        name.rpartition("slice")[2].partition(".")[2]: name for name in network.net.state_dict()
    }
    features = {
        ours[name.removeprefix("features.")]: tensor
        for name, tensor in state.items()
        if name.removeprefix("features.") in ours
    }
    load_strictly(network.net, features, weights.url.rpartition("/")[2])
    network.to(device).requires_grad_(False)

    def measure(frame: Image, truth: Image, border: int) -> float:
        with torch.inference_mode():
            levels = (
                levels_inside(image, border, device, least=_MIN_SIDE, metric="LPIPS")
                for image in (frame, truth)
            )
            return float(network(*(part / 127.5 - 1 for part in levels)))

    return measure
