"""Flow networks that options can name: OpenCV's DIS, RAFT, or PWC-Net from a file."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.flow.dis import DISFlow
from models.flow.raft import RAFT_VARIANTS, load_raft
from models.flow_pwc import PWCNet, load_pwc
from models.warping import Sampling
from models.weight_files import read_state
from utils.errors import InputError

_OTHERS = {
    "flow_net.": "a generator, which goes to path.pretrained_netG",
    "feat_encoder.": "SelfDRSC++, which goes to path.pretrained_netG",
    "contextnet.": "an interpolator, which goes to path.pretrained_interpolator",
    "motion_net.": "a refiner, which goes to path.pretrained_netG",
    "features.": "VGG-19, which goes to path.perceptual_weights",
    "feature_encoder.": 'RAFT, which is chosen by its name, "raft_small" or "raft_large"',
}
"""Other networks by the prefix of their tensors' names, for the error message."""


def load_flow(source: str, sampling: Sampling = "aligned") -> nn.Module:
    """Load a frozen flow network: images (B, 3, H, W), twice -> flow (B, 2, H, W) in pixels.

    Args:
        source: "dis", "raft_small", "raft_large", or the path of PWC-Net weights.
        sampling: rule of PWC-Net's feature warps.

    Raises:
        InputError: the weights are missing, damaged, of another network, or cannot be downloaded.
    """
    if source == "dis":
        return DISFlow()
    if source in RAFT_VARIANTS:
        return load_raft(source)
    state = read_state(source)
    for prefix, network in _OTHERS.items():
        if any(name.startswith(prefix) for name in state):
            raise InputError(
                f'{source}: expected PWC-Net weights, "dis" or a RAFT\'s name for '
                f"path.pretrained_rsg, got the weights of {network}"
            )
    return load_pwc(source, sampling)


def flows_between(network: nn.Module, images: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
    """Estimate flows between several images as one batch.

    Args:
        network: as returned by `load_flow`.
        images: (B, N, 3, H, W).
        pairs: P pairs (from, to) of indices of the N images.

    Returns:
        (B, P, 2, H, W) in pixels.
    """
    if isinstance(network, PWCNet):
        return network.between(images, pairs)
    ends = zip(*pairs, strict=True)
    first, second = (torch.stack([images[:, place] for place in end], dim=1) for end in ends)
    flows = network(first.flatten(0, 1), second.flatten(0, 1))
    return flows.unflatten(0, first.shape[:2])
