"""The straightforward generator and loop over instants: the yardstick of equality and speed.

Everything is computed as the paper writes it, in the order of the released code, for every pass
anew; `models.generator.Generator` must give the same frames from the same weights, sooner.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from data import time_maps
from models.generator import Generator
from models.parts.generator_blocks import (
    BLOCK_SCALES,
    FlowBlock,
    FlowNet,
    SynthesisNet,
    WarpedContextNet,
)
from models.parts.network import CorrectionOutput
from models.parts.padding import pad_to_multiple, unpad
from models.parts.settings import SIZE_MULTIPLE, frame_instants


def plain_forward(generator: Generator, pair: Tensor, offsets: Tensor) -> CorrectionOutput:
    """`Generator.forward`, plainly."""
    if generator.channels == "bgr":
        pair = pair.flip(2)
    flows = _flows(generator.flow_net, pair, offsets)
    flow = _resize_flow(flows[-1], 2)
    warped = _warp(pair, flow)
    context = _context(generator.warped_context_net, pair, flows[-1])
    synthesis = _synthesise(generator.ife_net, torch.cat((warped, flow), dim=1), context)
    frames = _blend(warped, synthesis, generator.num_frames)
    frames = frames.flip(2) if generator.channels == "bgr" else frames
    return CorrectionOutput(frames, (flows[0], flows[1], flows[2], flows[3]))


@torch.inference_mode()
def plain_correct(generator: Generator, pair: Tensor, count: int) -> Tensor:
    """Frames (count, 3, H, W) of a pair (2, 3, H, W), a full pass for each inner instant."""
    height, width = pair.shape[-2:]
    padded = pad_to_multiple(pair, SIZE_MULTIPLE)[None]
    scan = time_maps.scan_time(height, rows=padded.shape[-2])[None].to(pair)
    times = frame_instants(count)
    frames = pair.new_zeros(count, *pair.shape[1:])
    for index in sorted(range(1, count - 1), key=lambda i: (abs(times[i] - 0.5), i)):
        maps = time_maps.offset_maps(scan, scan.new_tensor([[0.0, times[index], 1.0]]))
        offsets = maps.expand(-1, -1, -1, padded.shape[-1])
        made = unpad(plain_forward(generator, padded, offsets).frames[0], height, width)
        frames[index] = made[1]
        if not frames[0].any():  # the pass nearest the middle comes first
            frames[0], frames[-1] = made[0], made[2]
    return frames


def _flows(net: FlowNet, pair: Tensor, offsets: Tensor) -> list[Tensor]:
    offsets_half = _resize(offsets, 0.5).repeat_interleave(2, dim=1)
    inputs = torch.cat((pair.flatten(1, 2), offsets), dim=1)
    velocity = _block(net, 0, inputs) * offsets_half
    flows = [net.get_submodule("conv0")(velocity)]
    for level in range(1, len(BLOCK_SCALES)):
        flow = _resize_flow(flows[-1], 2)
        inputs = torch.cat((_warp(pair, flow), offsets, flow), dim=1)
        velocity = velocity + _block(net, level, inputs)
        flows.append(net.get_submodule(f"conv{level}")(velocity * offsets_half))
    return flows


def _block(net: FlowNet, level: int, inputs: Tensor) -> Tensor:
    scale, block = BLOCK_SCALES[level], net.get_submodule(f"block{level}")
    assert isinstance(block, FlowBlock)
    features = block.convblock(block.conv0(_resize(inputs, 1 / scale)))
    return _resize(block.conv1(features), scale)


def _resize(maps: Tensor, factor: float) -> Tensor:
    if factor == 1:
        return maps
    return F.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=False)


def _resize_flow(flow: Tensor, factor: float) -> Tensor:
    return _resize(flow, factor) * factor


def _warp(images: Tensor, flows: Tensor) -> Tensor:
    """(B, N, C, H, W) by (B, N * T * 2, H, W) to (B, N * T * C, H, W)."""
    batch, count, channels, height, width = images.shape
    frames = flows.shape[1] // (2 * count)
    repeated = images[:, :, None].expand(-1, -1, frames, -1, -1, -1)
    flow = flows.reshape(-1, 2, height, width)
    x = torch.arange(width, dtype=flow.dtype, device=flow.device) + flow[:, 0]
    y = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None] + flow[:, 1]
    rows, columns = (1 << (side - 1).bit_length() for side in (height, width))
    canvas = F.pad(
        repeated.reshape(-1, channels, height, width), (0, columns - width, 0, rows - height)
    )
    grid_x = (2 * x.clamp(0, width - 1) + 1) / columns - 1
    grid_y = (2 * y.clamp(0, height - 1) + 1) / rows - 1
    grid = torch.stack((grid_x, grid_y), dim=-1)
    return F.grid_sample(canvas, grid, align_corners=False).reshape(batch, -1, height, width)


def _context(net: WarpedContextNet, pair: Tensor, flow: Tensor) -> list[tuple[Tensor, Tensor]]:
    features = net.get_submodule("conv0_0")(torch.cat((pair[:, 0], pair[:, 1])))
    flow = torch.cat(flow.chunk(2, dim=1))
    levels = []
    for level in range(1, 5):
        features = net.get_submodule(f"conv{level}_0")(features)
        flow = _resize_flow(flow, 0.5)
        t2b, b2t = net.get_submodule(f"conv{level}_1")(_warp(features[:, None], flow)).chunk(2)
        levels.append((t2b, b2t))
    return levels


def _synthesise(
    net: SynthesisNet, inputs: Tensor, context: Sequence[tuple[Tensor, Tensor]]
) -> Tensor:
    down0 = net.down0(net.conv0(inputs))
    down1 = net.down1(torch.cat((down0, *context[0]), dim=1))
    down2 = net.down2(torch.cat((down1, *context[1]), dim=1))
    down3 = net.down3(torch.cat((down2, *context[2]), dim=1))
    up = net.up0(torch.cat((down3, *context[3]), dim=1))
    up = net.up1(torch.cat((up, down2), dim=1))
    up = net.up2(torch.cat((up, down1), dim=1))
    return net.conv1(net.up3(torch.cat((up, down0), dim=1)))


def _blend(warped: Tensor, synthesis: Tensor, count: int) -> Tensor:
    from_t2b, from_b2t = warped.unflatten(1, (2, count, 3)).unbind(1)
    residual = 2 * torch.sigmoid(synthesis[:, : 3 * count].unflatten(1, (count, 3))) - 1
    mask = torch.sigmoid(synthesis[:, 3 * count :])[:, :, None]
    return (mask * from_t2b + (1 - mask) * from_b2t + residual).clamp(0, 1)
