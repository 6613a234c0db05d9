"""RIFE with distance maps: the frame between two, where every pixel has its own instant.

The network of InterpAny-Clearer (Zhong et al., ECCV 2024), after RIFE (Huang et al., ECCV 2022),
with which SelfDRSC++ rebuilds its inputs. Option `path.pretrained_interpolator`; formulas:
docs/METHOD.md. Attribute names are those of the released state dict.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.parts.generator_blocks import DownConv
from models.parts.generator_layers import conv, deconv, join, resize, resize_flow
from models.parts.padding import pad_to_multiple, unpad
from models.parts.settings import SIZE_MULTIPLE
from models.warping import backward_warp
from models.weight_files import load_strictly, read_architecture, read_state
from utils.errors import InputError

_SCALES, _CHANNELS = (4, 2, 1), (240, 150, 90)
_MAX_WIDTH = 8
_CONTEXT = (16, 32, 64, 128)
NET_TYPE = "interpolator"
"""What our files call the network."""

_TEACHER = "block_tea."  # of the released files: its teacher in training, which is never run


class Motion(NamedTuple):
    """Motion between the instant of each pixel and both frames.

    Attributes:
        flows: after each block, (B, 4, H, W) to the first frame, then to the second, in px.
        mask: (B, 1, H, W) logit of the first frame's share.
        first: (B, 3, H, W) warped by its flow.
        second: the same of the second frame.
    """

    flows: tuple[Tensor, ...]
    mask: Tensor
    first: Tensor
    second: Tensor


class Interpolated(NamedTuple):
    """The image between two frames, (B, 3, H, W) in [0, 1], and the motion found for it."""

    image: Tensor
    motion: Motion


class Interpolator(nn.Module):
    """(first, second, position) -> the image where pixel p shows the instant position(p).

    `width` scales all channels; 1.0 is the released network.
    """

    def __init__(self, width: float = 1.0) -> None:
        """Build the network with untrained weights."""
        super().__init__()
        self.width = width
        scaled = [max(2, round(channels * width / 2) * 2) for channels in _CHANNELS]
        self.block0, self.block1, self.block2 = (
            _Block(inputs, channels, scale)
            for inputs, channels, scale in zip((11, 22, 22), scaled, _SCALES, strict=True)
        )
        context = [max(2, round(channels * width / 2) * 2) for channels in _CONTEXT]
        self.contextnet = _ContextNet(context)
        self.unet = _SynthesisNet(context)

    @property
    def architecture(self) -> dict[str, Any]:
        """Architecture, as stored in checkpoints and weight files."""
        return {"net_type": NET_TYPE, "width": self.width}

    def forward(
        self, first: Tensor, second: Tensor, position: Tensor, *, with_motion: bool = False
    ) -> Tensor | Interpolated:
        """Interpolate between frames (B, 3, H, W) in [0, 1], of any size.

        Args:
            first: the frame at position 0.
            second: the frame at position 1.
            position: (B, 1, H, W) in [0, 1].
            with_motion: for training: return the motion, too, that of the padded frames.

        Returns:
            (B, 3, H, W) in [0, 1].
        """
        height, width = first.shape[-2:]
        first, second, position = (
            pad_to_multiple(maps, SIZE_MULTIPLE) for maps in (first, second, position)
        )
        motion = self.find_motion(first, second, position)
        flow = motion.flows[-1]
        contexts = [
            self.contextnet(image, part)
            for image, part in zip((first, second), flow.chunk(2, dim=1), strict=True)
        ]
        given = (first, second, motion.first, motion.second, motion.mask, flow)
        residual = torch.tanh(self.unet(given, contexts).to(flow.dtype) / 2)  # 2 sigmoid - 1
        merged = torch.lerp(motion.second, motion.first, torch.sigmoid(motion.mask))
        image = unpad((merged + residual).clamp(0, 1), height, width)
        return Interpolated(image, motion) if with_motion else image

    def find_motion(self, first: Tensor, second: Tensor, position: Tensor) -> Motion:
        """Motion of frames whose sides are multiples of 32; see `forward`."""
        # Position and image of an earlier estimate: there is none, so 0 and the first frame.
        given = (first, second, position, torch.zeros_like(position), first)
        flow = self.block0.change(given)
        flows = [flow[:, :4]]
        for block in (self.block1, self.block2):
            warped = _warp_both(first, second, flow[:, :4])
            flow = flow + block.change((*given, *warped, flow[:, 4:]), flow[:, :4])
            flows.append(flow[:, :4])
        return Motion(tuple(flows), flow[:, 4:], *_warp_both(first, second, flow[:, :4]))


class _Block(nn.Module):
    """One scale: a change of flow and mask."""

    def __init__(self, in_channels: int, channels: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.conv0 = nn.Sequential(
            conv(in_channels, channels // 2, stride=2), conv(channels // 2, channels, stride=2)
        )
        self.convblock = nn.Sequential(*(conv(channels, channels) for _ in range(8)))
        self.lastconv = nn.ConvTranspose2d(channels, 5, 4, 2, 1)

    def change(self, given: tuple[Tensor, ...], flow: Tensor | None = None) -> Tensor:
        """Change (B, 5, H, W) of flow and mask, from images and maps, and the flow so far."""
        parts = [resize(part, 1 / self.scale) for part in given]
        if flow is not None:
            parts.append(resize_flow(flow, 1 / self.scale))
        features = self.conv0(join(parts))
        found = self.lastconv(features + self.convblock(features)).to(given[0].dtype)
        factor = 2 * self.scale
        changes = (resize_flow(found[:, :4], factor), resize(found[:, 4:], factor))
        return torch.cat(changes, dim=1)


class _ContextNet(nn.Module):
    """Warped features of a frame at 1/2, 1/4, 1/8 and 1/16."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        inputs = (3, *channels[:-1])
        self.conv1, self.conv2, self.conv3, self.conv4 = (
            DownConv(before, count) for before, count in zip(inputs, channels, strict=True)
        )

    def forward(self, image: Tensor, flow: Tensor) -> list[Tensor]:
        """Features of an image (B, 3, H, W), warped by its flow (B, 2, H, W)."""
        features, warped = image, []
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            features, flow = layer(features), resize_flow(flow, 0.5)
            warped.append(backward_warp(features, flow, exact=False).warped)
        return warped


class _SynthesisNet(nn.Module):
    """U-Net from images, motion and contexts to the logit of the residual."""

    def __init__(self, context: list[int]) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = context
        down = [2 * count for count in context]
        self.down0 = DownConv(17, down[0])
        self.down1 = DownConv(down[0] + 2 * half, down[1])
        self.down2 = DownConv(down[1] + 2 * quarter, down[2])
        self.down3 = DownConv(down[2] + 2 * eighth, down[3])
        self.up0 = deconv(down[3] + 2 * sixteenth, down[2])
        self.up1 = deconv(2 * down[2], down[1])
        self.up2 = deconv(2 * down[1], down[0])
        self.up3 = deconv(2 * down[0], half)
        self.conv = nn.Conv2d(half, 3, 3, 1, 1)

    def forward(self, given: tuple[Tensor, ...], contexts: list[list[Tensor]]) -> Tensor:
        """Parts of (B, 17, H, W) and both contexts -> (B, 3, H, W)."""
        levels = list(zip(*contexts, strict=True))
        first = self.down0(*given)
        second = self.down1(first, *levels[0])
        third = self.down2(second, *levels[1])
        features = self.up0(join((self.down3(third, *levels[2]), *levels[3])))
        features = self.up2(join((self.up1(join((features, third))), second)))
        logit: Tensor = self.conv(self.up3(join((features, first))))
        return logit


def load_interpolator(path: str | Path) -> Interpolator:
    """Load a frozen interpolator from a released file or ours, executing nothing in it.

    Raises:
        InputError: the file is missing, truncated, of another network, or would execute code.
    """
    if not Path(path).exists():
        raise InputError(
            f"{path}: no such file; expected the interpolator flownet_sdi.pkl of InterpAny-Clearer "
            "(github.com/zzh-tech/InterpAny-Clearer, RIFE with distance maps), or one that "
            "python -m utils.tools.train_interpolator trained; set path.pretrained_interpolator to "
            'it, or train.rebuilding to "flow", which needs none'
        )
    state = {
        name: value for name, value in read_state(path).items() if not name.startswith(_TEACHER)
    }
    first = state.get("block0.lastconv.weight")
    if first is None:
        names = ", ".join(sorted(state)[:3]) or "only its training teacher (block_tea)"
        raise InputError(
            f"{path}: expected an interpolator with 'block0.lastconv.weight' for "
            f"path.pretrained_interpolator, got {names}"
        )
    stated = read_architecture(path).get("width", len(first) / _CHANNELS[0])
    network = Interpolator(_checked_width(stated, path))
    load_strictly(network, state, path)
    return network.requires_grad_(False).eval()


def _checked_width(stated: Any, path: str | Path) -> float:
    """The width that a file states, or that its tensors show.

    Raises:
        InputError: it is not a number, or out of range.
    """
    try:
        width = float(stated)
    except (TypeError, ValueError):
        width = 0.0
    if not 0 < width <= _MAX_WIDTH:
        raise InputError(
            f"{path}: damaged description of its network: width: expected above 0 to "
            f"{_MAX_WIDTH}, got {stated}"
        )
    return width


def _warp_both(first: Tensor, second: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Warp both frames by their halves of the flow."""
    to_first, to_second = flow.chunk(2, dim=1)
    return (
        backward_warp(first, to_first, exact=False).warped,
        backward_warp(second, to_second, exact=False).warped,
    )
