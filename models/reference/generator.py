"""The generator as the paper writes it (section 3), without optimisation.

For the same weights `models.generator.Generator` must give the same frames; tests compare both,
and benchmarks measure its speed against this one. Offsets e of an image for the instant t are
s - t, where s is the exposure time of a row in that image; F_k are the flows of level k = 1..4 at
half resolution, and all resizing is bilinear.
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
    """`Generator.forward`: frames (B, T, 3, H, W) and the flows F_1..F_4 of a pair.

    `flow_net` estimates F_1..F_4; `warped_context_net` warps features of both images by F_4;
    `ife_net` fuses the images, warped by F_4, into the frames.
    """
    if generator.channels == "bgr":
        pair = pair.flip(2)
    flows = _estimate_flows(generator.flow_net, pair, offsets)
    flow = _resize_flow(flows[-1], 2)
    warped = _warp(pair, flow)
    context = _encode_context(generator.warped_context_net, pair, flows[-1])
    synthesis = _synthesise(generator.ife_net, torch.cat((warped, flow), dim=1), context)
    frames = _blend(warped, synthesis, generator.num_frames)
    frames = frames.flip(2) if generator.channels == "bgr" else frames
    return CorrectionOutput(frames, (flows[0], flows[1], flows[2], flows[3]))


@torch.inference_mode()
def plain_correct(generator: Generator, pair: Tensor, count: int) -> Tensor:
    """Frames (count, 3, H, W) of a pair (2, 3, H, W) at evenly spaced instants from 0 to 1.

    Every inner instant t takes a full pass, which gives the frames at 0, t and 1; the frames at 0
    and 1 are those of the pass whose t is nearest to 0.5.
    """
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
        if not frames[0].any():  # the pass nearest to 0.5 comes first
            frames[0], frames[-1] = made[0], made[2]
    return frames


def _estimate_flows(net: FlowNet, pair: Tensor, offsets: Tensor) -> list[Tensor]:
    """F_1..F_4 (B, 4 * T, H/2, W/2), coarse to fine: flow = velocity times offset.

    With the block outputs b0..b3, b0' = b0 e and 1x1 convolutions conv0..conv3:
    F_1 = conv0(b0'), F_2 = conv1((b0' + b1) e), F_3 = conv2((b0' + b1 + b2) e),
    F_4 = conv3((b0' + b1 + b2 + b3) e). So b0 is multiplied by e twice from F_2 on: not as in the
    paper, but as the released code does and the released weights expect.
    """
    e = _resize(offsets, 0.5).repeat_interleave(2, dim=1)
    inputs = torch.cat((pair.flatten(1, 2), offsets), dim=1)
    velocity = _run_block(net, 0, inputs) * e
    flows = [net.get_submodule("conv0")(velocity)]
    for level in range(1, len(BLOCK_SCALES)):
        flow = _resize_flow(flows[-1], 2)
        inputs = torch.cat((_warp(pair, flow), offsets, flow), dim=1)
        velocity = velocity + _run_block(net, level, inputs)
        flows.append(net.get_submodule(f"conv{level}")(velocity * e))
    return flows


def _run_block(net: FlowNet, level: int, inputs: Tensor) -> Tensor:
    """Output b of a block, which works at 1/8, 1/4, 1/2 or the full size of its inputs."""
    scale, block = BLOCK_SCALES[level], net.get_submodule(f"block{level}")
    assert isinstance(block, FlowBlock)
    features = block.convblock(block.conv0(_resize(inputs, 1 / scale)))
    return _resize(block.conv1(features), scale)


def _resize(maps: Tensor, factor: float) -> Tensor:
    """Resize bilinearly, values unchanged."""
    if factor == 1:
        return maps
    return F.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=False)


def _resize_flow(flow: Tensor, factor: float) -> Tensor:
    """Resize a flow; displacements in pixels scale with the image."""
    return _resize(flow, factor) * factor


def _warp(images: Tensor, flows: Tensor) -> Tensor:
    """Sample N images bilinearly at pixel + flow, with coordinates clamped to the image.

    Args:
        images: (B, N, C, H, W).
        flows: (B, N * T * 2, H, W), T flows for each image.

    Returns:
        (B, N * T * C, H, W).
    """
    batch, count, channels, height, width = images.shape
    frames = flows.shape[1] // (2 * count)
    repeated = images[:, :, None].expand(-1, -1, frames, -1, -1, -1)
    flow = flows.reshape(-1, 2, height, width)
    x = torch.arange(width, dtype=flow.dtype, device=flow.device) + flow[:, 0]
    y = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None] + flow[:, 1]
    # Sides that are powers of two make the normalisation of coordinates exact.
    rows, columns = (1 << (side - 1).bit_length() for side in (height, width))
    canvas = F.pad(
        repeated.reshape(-1, channels, height, width), (0, columns - width, 0, rows - height)
    )
    grid_x = (2 * x.clamp(0, width - 1) + 1) / columns - 1
    grid_y = (2 * y.clamp(0, height - 1) + 1) / rows - 1
    grid = torch.stack((grid_x, grid_y), dim=-1)
    return F.grid_sample(canvas, grid, align_corners=False).reshape(batch, -1, height, width)


def _encode_context(
    net: WarpedContextNet, pair: Tensor, flow: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """Warped features of t2b and b2t at 1/4, 1/8, 1/16 and 1/32 of the image size.

    At each size the flow of an image (its half of F_4) warps the image's features once per frame,
    and a 1x1 convolution fuses the results; the unwarped features continue to the next size.
    """
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
    """Residuals and mask before their sigmoid, (B, 4 * T, H, W), by a U-Net with context."""
    down0 = net.down0(net.conv0(inputs))
    down1 = net.down1(torch.cat((down0, *context[0]), dim=1))
    down2 = net.down2(torch.cat((down1, *context[1]), dim=1))
    down3 = net.down3(torch.cat((down2, *context[2]), dim=1))
    up = net.up0(torch.cat((down3, *context[3]), dim=1))
    up = net.up1(torch.cat((up, down2), dim=1))
    up = net.up2(torch.cat((up, down1), dim=1))
    return net.conv1(net.up3(torch.cat((up, down0), dim=1)))


def _blend(warped: Tensor, synthesis: Tensor, count: int) -> Tensor:
    """frame_i = clamp(mask_i t2b_i + (1 - mask_i) b2t_i + residual_i, 0, 1).

    t2b_i and b2t_i are the images warped to frame i, mask = sigmoid(m) and
    residual = 2 sigmoid(r) - 1, where r and m are the channels of `synthesis`.
    """
    from_t2b, from_b2t = warped.unflatten(1, (2, count, 3)).unbind(1)
    residual = 2 * torch.sigmoid(synthesis[:, : 3 * count].unflatten(1, (count, 3))) - 1
    mask = torch.sigmoid(synthesis[:, 3 * count :])[:, :, None]
    return (mask * from_t2b + (1 - mask) * from_b2t + residual).clamp(0, 1)
