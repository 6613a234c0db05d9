"""PWC-Net (Sun et al., CVPR 2018): optical flow between two frames, in plain PyTorch.

State-dict names are those of the released weights. Images are resized to multiples of 64, without
mean subtraction; the flow is resized back, x times W / W' and y times H / H' (all resizes bilinear
with `align_corners=False`), and the network's unit is 20 pixels.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

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
    collect_level,
)
from models.parts.settings import FLOW_SIZE_MULTIPLE, Channels
from models.warping import Sampling
from models.weight_files import load_strictly, read_architecture, read_state, stated_choice


class PWCNet(nn.Module):
    """Optical flow by PWC-Net.

    Args:
        sampling: rule of the feature warps (`models.warping`). Points outside the image give zero
            features under either rule.
        channels: channel order that the weights expect; input is RGB and is flipped for "bgr".
        matching: kind of cost volume that the weights expect; "product" for the released ones.
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
        """Architecture, as stored in checkpoints and weight files."""
        return {"net_type": "pwcnet", "channels": self.channels, "matching": self.matching}

    def forward(
        self, first: Tensor, second: Tensor, *, down_to: int | None = None
    ) -> Tensor | tuple[FlowLevel, ...]:
        """Flow from `first` to `second`: where each pixel of `first` is found in `second`.

        Args:
            first: (B, 3, H, W) RGB in [0, 1], any size.
            second: (B, 3, H, W).
            down_to: for training: stop at this level, 5 to 2, and return the levels.

        Returns:
            (B, 2, H, W) displacements (dx, dy) in pixels; or the levels from the 6th (1/64 of the
            size) to `down_to` (the 2nd has 1/4 of the size, and its flow is refined).

        Raises:
            ValueError: the images are not of one shape (B, 3, H, W).
        """
        check_frames(first, second)
        pyramid = [features.chunk(2) for features in self._features(torch.cat((first, second)))]
        found = self._estimate(pyramid, down_to or 2)
        if down_to is not None:
            scale = _pixels_per_unit(found[-1].flow, first)
            return tuple(FlowLevel(f * scale, start * scale, costs) for f, start, costs in found)
        return _flow_of(found, first)

    def between(self, images: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
        """Flows between several images, computing the features of each image once.

        Args:
            images: (B, N, 3, H, W) RGB in [0, 1], any size.
            pairs: P pairs (from, to) of indices of the N images.

        Returns:
            (B, P, 2, H, W) displacements as in `forward`.
        """
        pyramid = []
        for features in self._features(images.transpose(0, 1).flatten(0, 1)):
            of_image = features.chunk(images.shape[1])
            ends = zip(*pairs, strict=True)
            pyramid.append([torch.cat([of_image[index] for index in end]) for end in ends])
        flow = _flow_of(self._estimate(pyramid, 2), images)
        return flow.unflatten(0, (len(pairs), -1)).transpose(0, 1)

    def beyond(self, level: int) -> tuple[nn.Module, ...]:
        """Modules that `forward` does not use when it stops at a level, 5 to 2."""
        finer = (self.moduleFou, self.moduleThr, self.moduleTwo, self.moduleRefiner)
        return finer[5 - level :] if level > 2 else ()

    def _features(self, images: Tensor) -> list[Tensor]:
        """Features of images (B, 3, H, W) at the six levels, finest first."""
        if self.channels == "bgr":
            images = images.flip(1)
        rows, columns = (round_up(side, FLOW_SIZE_MULTIPLE) for side in images.shape[-2:])
        # channels_last avoids layout conversions around convolutions.
        resized = _resize(images, rows, columns).contiguous(memory_format=torch.channels_last)
        return self.moduleExtractor(resized)

    def _estimate(self, pyramid: Sequence[Sequence[Tensor]], down_to: int) -> list[FlowLevel]:
        """Flows from first to second features, in `FLOW_SCALE` units, coarsest first."""
        flow, features = self.moduleSix(*pyramid[5], None)
        found = [collect_level(flow, features)]
        finer = (self.moduleFiv, self.moduleFou, self.moduleThr, self.moduleTwo)[: 6 - down_to]
        for decoder, (first, second) in zip(finer, pyramid[4:0:-1], strict=False):
            flow, features = decoder(first, second, (flow, features))
            found.append(collect_level(flow, features))
        if down_to == 2:
            found[-1] = found[-1]._replace(flow=flow + self.moduleRefiner(features))
        return found


def load_pwc(path: str | Path, sampling: Sampling = "aligned") -> PWCNet:
    """Load a frozen PWC-Net: in evaluation mode, parameters without gradient.

    Gradient still flows through the network to its images. A file that does not state its channel
    order is taken as "rgb" if it is a `.safetensors` file, else as "bgr" like the released files.

    Args:
        path: a `.safetensors`, `.pth` or `.pytorch` file. Names may have the older style
            (`moduleExtractor...`) or the newer (`netExtractor...`), after any common prefix.
        sampling: rule of the feature warps; the released weights were trained with "released".

    Raises:
        InputError: the file cannot be used (see `read_state`) or holds another network.
    """
    state = read_state(path)
    default = "rgb" if Path(path).suffix == ".safetensors" else "bgr"
    stated = {"matching": "product", "channels": default} | read_architecture(path)
    matching: Matching = stated_choice(stated, "matching", ("product", "cosine"), path)
    order: Channels = stated_choice(stated, "channels", ("rgb", "bgr"), path)
    network = PWCNet(sampling, channels=order, matching=matching)
    load_strictly(network, released_names(state), path)
    return network.eval().requires_grad_(False)


def released_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights of either style to the older one, without a common prefix."""
    renamed = {re.sub(r"\bnet(?=[A-Z])", "module", name): value for name, value in state.items()}
    first = "moduleExtractor.moduleOne.0.weight"
    prefix = next((name.removesuffix(first) for name in renamed if name.endswith(first)), "")
    return {name.removeprefix(prefix): value for name, value in renamed.items()}


def _flow_of(found: Sequence[FlowLevel], images: Tensor) -> Tensor:
    """Resize the finest level's flow to the images' size, in their pixels."""
    scale = _pixels_per_unit(found[-1].flow, images)
    return _resize(found[-1].flow.to(scale.dtype), *images.shape[-2:]) * scale


def _pixels_per_unit(flow: Tensor, images: Tensor) -> Tensor:
    """Pixels (x, y) of the images per unit of the network's flow, (2, 1, 1), float32 or better."""
    height, width = images.shape[-2:]
    shares = [side / round_up(side, FLOW_SIZE_MULTIPLE) for side in (width, height)]
    dtype = torch.promote_types(flow.dtype, torch.float32)
    scale = torch.tensor(shares, dtype=dtype).to(flow.device, non_blocking=True)
    return scale[:, None, None] * FLOW_SCALE


def _resize(images: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(images, (height, width), mode="bilinear", align_corners=False)
