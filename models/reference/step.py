"""The straightforward training step: the yardstick of equality and speed.

As the released code does it: a flow call for every pair of frames, features of VGG-19 for every
comparison, pixels splatted through masks. `models.objectives` must give the same loss, sooner.
"""

import torch
from torch import Tensor, nn

from data.capture import TrainingSample
from data.time_maps import leg_positions, offset_maps
from models.generator import Generator
from models.losses.terms import charbonnier, flow_variation
from models.objectives import CycleObjective, DistillationObjective
from models.reference.generator import plain_forward
from models.warping import Sampling, backward_warp

_LEGS = ((0, 2), (0, 1), (1, 2))  # 0 -> 1, 0 -> t, t -> 1 among the frames (0, t, 1)


def plain_cycle(
    objective: CycleObjective, generator: Generator, batch: TrainingSample
) -> tuple[Tensor, Tensor]:
    """Loss of a stage-1 step, and the frames (B, 3, 3, H, W)."""
    frames, flows = _correct(generator, batch)
    images = _rebuild(objective.flow, frames, batch, objective.sampling)
    weights, total = objective.weights, frames.new_zeros(())
    for pair in images:
        for scan, image in enumerate(pair):
            total = total + _distance(objective, image, batch.pair[:, scan])
    return total + weights.get("Variation", 0) * flow_variation(flows), frames


def plain_distillation(
    objective: DistillationObjective, generator: Generator, batch: TrainingSample
) -> Tensor:
    """Loss of a stage-2 step."""
    assert isinstance(objective.teacher, Generator)
    border = objective.border
    with torch.no_grad():
        expected = _correct(objective.teacher, batch)[0][..., border:-border, border:-border]
    total, frames = plain_cycle(objective.cycle, generator, objective.student_batch(batch))
    return total + _distance(objective.cycle, frames.flatten(0, 1), expected.flatten(0, 1))


def plain_correlation(first: Tensor, second: Tensor, radius: int = 4) -> Tensor:
    """`models.parts.correlation.correlation`, one displacement at a time."""
    height, width = first.shape[-2:]
    padded = nn.functional.pad(second, (radius,) * 4)
    reach = range(2 * radius + 1)
    costs = [
        (first * padded[..., y : y + height, x : x + width]).mean(dim=1)
        for y in reach
        for x in reach
    ]
    return torch.stack(costs, dim=1)


def _correct(generator: Generator, batch: TrainingSample) -> tuple[Tensor, tuple[Tensor, ...]]:
    t = batch.t
    times = torch.stack((torch.zeros_like(t), t, torch.ones_like(t)), dim=1)
    offsets = offset_maps(batch.scan_time, times).expand(-1, -1, -1, batch.pair.shape[-1])
    output = plain_forward(generator, batch.pair, offsets)
    return output.frames, output.flows


def _distance(objective: CycleObjective, image: Tensor, target: Tensor) -> Tensor:
    weights = objective.weights
    total = weights["Charbonnier"] * charbonnier(image, target)
    if "Perceptual" in objective.networks:
        features = objective.networks["Perceptual"].get_submodule("features")
        with torch.no_grad():
            expected = features(target)
        total = total + weights["Perceptual"] * (features(image) - expected).abs().mean()
    return total


def _rebuild(
    flow: nn.Module, frames: Tensor, batch: TrainingSample, sampling: Sampling
) -> tuple[list[Tensor], list[Tensor]]:
    """Both inputs from the leg 0 -> 1, and from the legs 0 -> t and t -> 1."""
    there = [flow(frames[:, a], frames[:, b]) for a, b in _LEGS]
    back = [flow(frames[:, b], frames[:, a]) for a, b in _LEGS]
    scan = batch.scan_time[:, None, :, None].expand(-1, 1, -1, frames.shape[-1])
    whole, split = [], []
    for exposure in (scan, 1 - scan):
        position = leg_positions(exposure, batch.t[:, None, None, None])
        made = []
        for leg, tau in enumerate((exposure, position.before, position.after)):
            to_start, to_end = _reverse(there[leg], back[leg], tau)
            a, b = (frames[:, end] for end in _LEGS[leg])
            start = backward_warp(a, to_start, sampling).warped
            end = backward_warp(b, to_end, sampling).warped
            made.append(start + tau * (end - start))
        whole.append(made[0])
        split.append(torch.where(position.on_first_leg, made[1], made[2]))
    return whole, split


def _reverse(there: Tensor, back: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    sum_there, weight_there = _splat(there, tau * there)
    sum_back, weight_back = _splat(back, (1 - tau) * back)
    norm = (1 - tau) * weight_there + tau * weight_back
    reached = norm > 0
    scale = reached / torch.where(reached, norm, torch.ones_like(norm))
    to_start = (tau**2 * sum_back - (1 - tau) * tau * sum_there) * scale
    return to_start, ((1 - tau) ** 2 * sum_there - tau * (1 - tau) * sum_back) * scale


def _splat(values: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of weighted values and of weights, element by element of those that land inside."""
    batch, channels, height, width = values.shape
    item = torch.arange(batch, device=flow.device)[:, None, None].expand(-1, height, width)
    x = torch.arange(width, device=flow.device) + flow[:, 0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    total = values.new_zeros(batch, height, width, channels + 1)
    source = torch.cat((values, torch.ones_like(values[:, :1])), dim=1).permute(0, 2, 3, 1)
    for column in (x.detach().floor(), x.detach().floor() + 1):
        for row in (y.detach().floor(), y.detach().floor() + 1):
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            weight = torch.exp(-((x - column) ** 2) - (y - row) ** 2)[..., None]
            places = (item[inside], row[inside].long(), column[inside].long())
            total = total.index_put(places, (source * weight)[inside], accumulate=True)
    sums = total.permute(0, 3, 1, 2)
    return sums[:, :-1], sums[:, -1:]
