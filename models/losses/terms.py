"""Loss terms as plain functions (paper, section 3).

Stage 1 weights them 1 Charbonnier + 0.1 Perceptual + 0.1 Variation. The image terms are summed over
the four rebuilt images; no term uses a validity mask, so pixels blacked out by the "released"
sampling count. Stage 2 adds Charbonnier + 0.1 Perceptual between the frames of student and teacher.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models import VGG19_Weights
from torchvision.models.vgg import make_layers

from models.parts.memory_saving import chunked_sum
from models.parts.settings import Channels
from models.weight_files import download_state, load_strictly, read_state

CHARBONNIER_EPSILON = 1e-9
_MIN_SQUARED_ERROR = 1e-6  # 60 dB

_VGG_LAYERS: list[str | int] = [64, 64, "M", 128, 128, "M", 256, 256, 256]
_VGG_DEPTH = 15  # `features[:15]` of VGG-19: up to conv3_3, before its ReLU
_BATCH_PIXELS = (2**20, 2**17)  # per pass of VGG-19 on a GPU and on a CPU, 1.2 kB each


def charbonnier(estimate: Tensor, target: Tensor, epsilon: float = CHARBONNIER_EPSILON) -> Tensor:
    """Mean of sqrt(d² + epsilon) over all elements of the difference d, a smooth L1."""
    return torch.sqrt((estimate - target).square() + epsilon).mean()


def decibels(estimate: Tensor, target: Tensor) -> Tensor:
    """Mean over images (..., 3, H, W) of 10 log10 of the mean squared error: the negative PSNR.

    The logarithm gives images with small errors as much influence as those with large ones.
    """
    squared = (estimate - target).square().mean(dim=(-3, -2, -1))
    return 10 * torch.log10(squared + _MIN_SQUARED_ERROR).mean()


def flow_variation(flows: Sequence[Tensor]) -> Tensor:
    """Variation: mean(dx²) + mean(dy²) of forward differences, summed over the flow levels.

    Args:
        flows: any number of (B, C, H, W). The last row and column are replicated, so their
            differences are 0 and count in the mean.
    """
    total = flows[0].new_zeros(())
    for flow in flows:
        along_x = (flow[..., :, 1:] - flow[..., :, :-1]).square().sum()
        along_y = (flow[..., 1:, :] - flow[..., :-1, :]).square().sum()
        total = total + (along_x + along_y) / flow.numel()
    return total


def flow_endpoint(flows: Sequence[Tensor], truth: Tensor) -> Tensor:
    """Mean endpoint error of the network's flow levels, in pixels of their half-size grid.

    Args:
        flows: levels of (B, 4 * T, H/2, W/2) as in `models.parts.network.CorrectionOutput`.
        truth: (B, T, 2, 2, H/2, W/2) exact displacements from each frame to t2b and to b2t, in
            pixels of the full-size grid (`data.capture.TrainingSample.truth_flows`).

    Returns:
        The mean over levels, frames, inputs and pixels of sqrt(|d|² + 1e-9).
    """
    target = truth.transpose(1, 2).flatten(1, 3) / 2  # (B, 2 * T * 2, ...): the network's order
    errors = []
    for flow in flows:
        difference = (flow - target).unflatten(1, (-1, 2))
        errors.append(torch.sqrt(difference.square().sum(2) + CHARBONNIER_EPSILON).mean())
    return torch.stack(errors).mean()


class Perceptual(nn.Module):
    """Mean L1 distance between VGG-19 features at conv3_3 before its ReLU, weights frozen.

    As released, the network is fed the raw [0, 1] values, without ImageNet normalisation.
    """

    def __init__(self) -> None:
        """Build the truncated network with untrained weights."""
        super().__init__()
        self.features = make_layers(_VGG_LAYERS)[:_VGG_DEPTH]
        self.requires_grad_(False).eval()

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Mean distance of images in [0, 1]; gradient flows to `estimate` only.

        Args:
            estimate: (..., 3, H, W).
            target: images that broadcast to `estimate`'s shape; features are computed once each.
        """
        images = estimate.flatten(0, -4)
        size = max(1, _BATCH_PIXELS[images.device.type == "cpu"] // images[0, 0].numel())
        with torch.no_grad():
            batches = [self._extract(part) for part in target.flatten(0, -4).split(size)]
            features = torch.cat(batches).unflatten(0, target.shape[:-3])
            shape = (*estimate.shape[:-3], *features.shape[-3:])
            expected = features.expand(shape).flatten(0, -4)

        def distance(part: Tensor, place: slice) -> Tensor:
            difference = self._extract(part) - expected[place]
            return difference.to(part.dtype).abs().sum() / expected.numel()

        return chunked_sum(images, size, distance)

    def _extract(self, images: Tensor) -> Tensor:
        """Features of images (N, 3, H, W)."""
        # channels_last avoids layout conversions around convolutions.
        return self.features(images.contiguous(memory_format=torch.channels_last))


def load_perceptual(weights: str, perceptual_channels: Channels = "rgb") -> Perceptual:
    """Load the VGG-19 of the perceptual loss, for RGB images.

    Args:
        weights: `"imagenet"` for torchvision's (downloaded once to torch's hub folder), or the path
            of a file with torchvision's VGG-19 names (`features.0.weight`, ...).
        perceptual_channels: order in which the weights, trained on RGB, see the channels: "rgb", or
            "bgr" as released.

    Raises:
        InputError: the file is missing or holds something else, or the download failed.
    """
    network = Perceptual()
    if weights == "imagenet":
        otherwise = ", or set its path in path.perceptual_weights"
        state = download_state(VGG19_Weights.IMAGENET1K_V1, name="VGG-19", otherwise=otherwise)
    else:
        state = read_state(weights)
    wanted = {name: value for name, value in state.items() if name in network.state_dict()}
    load_strictly(network, wanted, weights)
    if perceptual_channels == "bgr":
        first = network.get_parameter("features.0.weight")
        with torch.no_grad():  # equal to reversing every image's channels
            first.copy_(first.flip(1))
    return network
