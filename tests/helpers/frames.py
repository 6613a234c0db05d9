from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.inference.correction import correct, correct_classically
from models.parts.network import CorrectionNetwork
from tests.helpers.moving_texture import Pan


def psnr(image: Tensor, truth: Tensor) -> float:
    """In dB, of images in [0, 1]."""
    return float(-10 * torch.log10((image - truth).square().mean()))


def as_pair(pan: Pan) -> Tensor:
    """Both views (2, 3, H, W) of a pan."""
    return torch.from_numpy(np.stack(pan.views())).permute(0, 3, 1, 2)


def network_frames(
    network: CorrectionNetwork, pair: Tensor, times: Sequence[float], **settings: Any
) -> Tensor:
    return correct(network, pair, times, **settings).frames


def classical_frames(pair: Tensor, times: Sequence[float], **settings: Any) -> Tensor:
    return correct_classically(pair, times, **settings).frames
