from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.inference.correction import correct, correct_classically
from models.parts.network import CorrectionNetwork


def psnr(image: Tensor, truth: Tensor) -> float:
    """In dB, of images in [0, 1]."""
    return float(-10 * torch.log10((image - truth).square().mean()))


def network_frames(
    network: CorrectionNetwork, pair: Tensor, times: Sequence[float], **settings: Any
) -> Tensor:
    return correct(network, pair, times, **settings).frames


def classical_frames(pair: Tensor, times: Sequence[float], **settings: Any) -> Tensor:
    return correct_classically(pair, times, **settings).frames
