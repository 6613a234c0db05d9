"""PWC-Net (Sun et al., CVPR 2018): optical flow between two frames, in plain PyTorch.

Modules carry the names of the released weights, so its state dict is that of the released file.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.parts.checks import check_frames
from models.parts.padding import round_up
from models.parts.pwc_blocks import (
    FLOW_SCALE,
    ContextNet,
    Decoder,
    Extractor,
    FlowLevel,
    Matching,
    describe_level,
)
from models.parts.settings import FLOW_SIZE_MULTIPLE, Channels
from models.warping import Sampling
from models.weight_files import load_strictly, read_architecture, read_state
from utils.errors import InputError

T = TypeVar("T")


class PWCNet(nn.Module):
    """Optical flow by PWC-Net.

    Args:
        sampling: rule of the feature warps. Points outside the image give zero features under
            either rule (see `models.warping`).
        channels: the order that the weights expect; images are given as RGB and turned for "bgr".
        matching: what the weights expect of the cost volumes; "product" for the released ones.
    """

    def __init__(
        self,
        sampling: Sampling = "aligned",
        *,
        channels: Channels = "rgb",
        matching: Matching = "product",
    ) -> None:
        """Build the network with PyTorch's default initial weights."""
        super().__init__()
        self.channels = channels
        self.matching = matching
        self.moduleExtractor = Extractor()
        self.moduleTwo = Decoder(2, sampling, matching)
        self.moduleThr = Decoder(3, sampling, matching)
        self.moduleFou = Decoder(4, sampling, matching)
        self.moduleFiv = Decoder(5, sampling, matching)
        self.moduleSix = Decoder(6, sampling, matching)
        self.moduleRefiner = ContextNet()

    @property
    def architecture(self) -> dict[str, str]:
        """What the weights are for, as checkpoints and weight files say it."""
        return {"net_type": "pwcnet", "channels": self.channels, "matching": self.matching}

    def forward(
        self, first: Tensor, second: Tensor, *, down_to: int | None = None
    ) -> Tensor | tuple[FlowLevel, ...]:
        """Flow from `first` to `second`: where each pixel of `first` is found in `second`.

        Args:
            first: (B, 3, H, W) RGB in [0, 1], any size.
            second: (B, 3, H, W).
            down_to: for training: stop at this level, 5 to 2, and answer with what each one found.

        Returns:
            (B, 2, H, W) displacements (dx, dy) in pixels; or the levels from the 6th (1/64 of the
            size) to `down_to` (1/4 for the 2nd, whose flow is refined).

        Raises:
            ValueError: the images are not of one shape (B, 3, H, W).
        """
        check_frames(first, second)
        pyramid = []
        for features in self._features(torch.cat((first, second))):
            of_first, of_second = features.chunk(2)
            pyramid.append((of_first, of_second))
        found = self._estimate(pyramid, down_to or 2)
        if down_to is not None:
            scale = _pixels_per_unit(found[-1].flow, first)
            return tuple(FlowLevel(f * scale, start * scale, costs) for f, start, costs in found)
        return _flow_of(found, first)

    def between(self, images: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
        """Flows between several images, each one's features computed once.

        Args:
            images: (B, N, 3, H, W) RGB in [0, 1], any size.
            pairs: P pairs (from, to) of places among the N images.

        Returns:
            (B, P, 2, H, W) displacements as in `forward`.
        """
        pyramid = []
        for features in self._features(images.transpose(0, 1).flatten(0, 1)):
            of_image = features.chunk(images.shape[1])
            ends = zip(*((of_image[a], of_image[b]) for a, b in pairs), strict=True)
            first, second = (torch.cat(end) for end in ends)
            pyramid.append((first, second))
        flow = _flow_of(self._estimate(pyramid, 2), images)
        return flow.unflatten(0, (len(pairs), -1)).transpose(0, 1)

    def beyond(self, level: int) -> tuple[nn.Module, ...]:
        """The parts that `forward` does without when it stops at a level, 5 to 2."""
        finer = (self.moduleFou, self.moduleThr, self.moduleTwo, self.moduleRefiner)
        return finer[5 - level :] if level > 2 else ()

    def _features(self, images: Tensor) -> list[Tensor]:
        """Features of images (B, 3, H, W) at the six levels, finest first."""
        if self.channels == "bgr":
            images = images.flip(1)
        rows, columns = (round_up(side, FLOW_SIZE_MULTIPLE) for side in images.shape[-2:])
        # In this layout convolutions need no copies of what they take and give.
        resized = _resize(images, rows, columns).contiguous(memory_format=torch.channels_last)
        return self.moduleExtractor(resized)

    def _estimate(self, pyramid: Sequence[tuple[Tensor, Tensor]], down_to: int) -> list[FlowLevel]:
        """Flows from first to second features, in `FLOW_SCALE` units, coarsest first."""
        flow, features = self.moduleSix(*pyramid[5], None)
        found = [describe_level(flow, features)]
        finer = (self.moduleFiv, self.moduleFou, self.moduleThr, self.moduleTwo)[: 6 - down_to]
        for decoder, (first, second) in zip(finer, pyramid[4:0:-1], strict=False):
            flow, features = decoder(first, second, (flow, features))
            found.append(describe_level(flow, features))
        if down_to == 2:
            found[-1] = found[-1]._replace(flow=flow + self.moduleRefiner(features))
        return found


def load_pwc(path: str | Path, sampling: Sampling = "aligned") -> PWCNet:
    """Load PWC-Net weights, frozen: in evaluation mode, its parameters without gradient.

    Gradient still flows through the network to its images. Weights expect the channel order that
    the file says; where it says nothing, "rgb" of a `.safetensors` file and "bgr" of any other, a
    released one.

    Args:
        path: a `.safetensors`, `.pth` or `.pytorch` file. Names may be of the older style
            (`moduleExtractor...`) or the newer (`netExtractor...`), after any common prefix.
        sampling: rule of the feature warps: "released" is what released weights were run with.

    Raises:
        InputError: the file cannot be used (see `read_state`) or holds another network.
    """
    state, stated = read_state(path), read_architecture(path)
    matching: Matching = _one_of(("product", "cosine"), stated.get("matching", "product"), path)
    default = "rgb" if Path(path).suffix == ".safetensors" else "bgr"
    order: Channels = _one_of(("rgb", "bgr"), stated.get("channels", default), path)
    network = PWCNet(sampling, channels=order, matching=matching)
    load_strictly(network, released_names(state), path)
    return network.eval().requires_grad_(False)


def released_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the older released names, from either style and without a common prefix."""
    renamed = {re.sub(r"\bnet(?=[A-Z])", "module", name): value for name, value in state.items()}
    mark = "moduleExtractor.moduleOne.0.weight"
    prefix = next((name.removesuffix(mark) for name in renamed if name.endswith(mark)), "")
    return {name.removeprefix(prefix): value for name, value in renamed.items()}


def _one_of(choices: tuple[T, ...], value: object, path: str | Path) -> T:
    """The choice that a file states.

    Raises:
        InputError: it is none of them.
    """
    for choice in choices:
        if value == choice:
            return choice
    known = " or ".join(f"'{choice}'" for choice in choices)
    raise InputError(f"{path}: damaged description of its network: expected {known}, got {value!r}")


def _flow_of(found: Sequence[FlowLevel], images: Tensor) -> Tensor:
    """The finest level's flow at the images' size, in their pixels."""
    scale = _pixels_per_unit(found[-1].flow, images)
    return _resize(found[-1].flow.to(scale.dtype), *images.shape[-2:]) * scale


def _pixels_per_unit(flow: Tensor, images: Tensor) -> Tensor:
    """(2, 1, 1) pixels (x, y) of the images in the network's unit of flow, float32 or better."""
    height, width = images.shape[-2:]
    shares = [side / round_up(side, FLOW_SIZE_MULTIPLE) for side in (width, height)]
    dtype = torch.promote_types(flow.dtype, torch.float32)
    scale = torch.tensor(shares, dtype=dtype).to(flow.device, non_blocking=True)
    return scale[:, None, None] * FLOW_SCALE


def _resize(images: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(images, (height, width), mode="bilinear", align_corners=False)
