"""The losses of both training stages as the paper writes them (section 3), without optimisation.

As in the released code, each pair of frames takes a call of the flow network, and each comparison
its own VGG-19 features. `models.objectives` must give the same losses; tests compare both, and
benchmarks measure its speed against this one.
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
    """Loss of a stage-1 step, and the generator's frames (B, 3, 3, H, W) at 0, t and 1.

    The sum over the four rebuilt images (whole and split, t2b and b2t) of 1 Charbonnier + 0.1
    Perceptual against the input, plus 0.1 Variation of the flows; `objective.weights` has the
    factors.
    """
    frames, flows = _correct(generator, batch)
    assert objective.flow is not None
    images = _rebuild(objective.flow, frames, batch, objective.sampling)
    weights, total = objective.weights, frames.new_zeros(())
    for pair in images:
        for scan, image in enumerate(pair):
            total = total + _distance(objective, image, batch.pair[:, scan])
    return total + weights.get("Variation", 0) * flow_variation(flows), frames


def plain_distillation(
    objective: DistillationObjective, generator: Generator, batch: TrainingSample
) -> Tensor:
    """Loss of a stage-2 step: self-distillation on the crop without its border.

    The stage-1 loss of the student on the inner crop, plus Charbonnier and Perceptual between its
    frames and those of the frozen teacher, which sees the whole crop. The three frames count as
    one batch: a mean, not a sum.
    """
    assert isinstance(objective.teacher, Generator)
    border = objective.border
    with torch.no_grad():
        expected = _correct(objective.teacher, batch)[0][..., border:-border, border:-border]
    total, frames = plain_cycle(objective.cycle, generator, objective.student_batch(batch))
    return total + _distance(objective.cycle, frames.flatten(0, 1), expected.flatten(0, 1))


def plain_correlation(first: Tensor, second: Tensor, radius: int = 4) -> Tensor:
    """PWC-Net's cost volume (B, (2r + 1)^2, H, W): mean over channels of first times second(+d).

    Channel (dy + r)(2r + 1) + dx + r belongs to the displacement d = (dx, dy) of `second`, which
    is padded by zeros; see `models.parts.correlation.correlation`.
    """
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
    """Frames at 0, t and 1, and the flows of all levels, from offsets s - t."""
    t = batch.t
    times = torch.stack((torch.zeros_like(t), t, torch.ones_like(t)), dim=1)
    offsets = offset_maps(batch.scan_time, times).expand(-1, -1, -1, batch.pair.shape[-1])
    output = plain_forward(generator, batch.pair, offsets)
    return output.frames, output.flows


def _distance(objective: CycleObjective, image: Tensor, target: Tensor) -> Tensor:
    """Weighted Charbonnier and Perceptual, the mean L1 distance of VGG-19 features (conv3_3)."""
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
    """Both inputs, t2b and b2t, rebuilt from the frames by bidirectional distortion warping.

    Section 3.3. Between the frames A and B of a leg, tau in [0, 1] is the position of a pixel's
    exposure:

        rebuilt = (1 - tau) warp(A, F_tauA) + tau warp(B, F_tauB)

    Whole: one leg 0 -> 1, tau = s. Split: legs 0 -> t with tau = s / t, and t -> 1 with
    tau = (s - t) / (1 - t), both clamped to [0, 1], of which a pixel takes the first where s <= t.
    For b2t, s becomes 1 - s.

    Returns:
        Whole and split, each [t2b, b2t] of (B, 3, H, W).
    """
    there = [flow(frames[:, a], frames[:, b]) for a, b in _LEGS]
    back = [flow(frames[:, b], frames[:, a]) for a, b in _LEGS]
    scan = batch.scan_time[:, None, :, None].expand(-1, 1, -1, frames.shape[-1])
    whole, split = [], []
    for s in (scan, 1 - scan):
        position = leg_positions(s, batch.t[:, None, None, None])
        rebuilt = []
        for leg, tau in enumerate((s, position.before, position.after)):
            flow_to_a, flow_to_b = _reverse(there[leg], back[leg], tau)
            a, b = (frames[:, end] for end in _LEGS[leg])
            from_a = backward_warp(a, flow_to_a, sampling).warped
            from_b = backward_warp(b, flow_to_b, sampling).warped
            rebuilt.append(from_a + tau * (from_b - from_a))
        whole.append(rebuilt[0])
        split.append(torch.where(position.on_first_leg, rebuilt[1], rebuilt[2]))
    return whole, split


def _reverse(flow_ab: Tensor, flow_ba: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """F_tauA and F_tauB (B, 2, H, W) by complementary flow reversal.

    F_AB is splatted along tau F_AB to sums F'_AB and weights n_A, F_BA along (1 - tau) F_BA to
    F'_BA and n_B; with n = (1 - tau) n_A + tau n_B, and 0 where n = 0,

        F_tauA = (-(1 - tau) tau F'_AB + tau^2 F'_BA) / n
        F_tauB = ((1 - tau)^2 F'_AB - tau (1 - tau) F'_BA) / n
    """
    sum_ab, n_a = _splat(flow_ab, tau * flow_ab)
    sum_ba, n_b = _splat(flow_ba, (1 - tau) * flow_ba)
    n = (1 - tau) * n_a + tau * n_b
    reached = n > 0
    scale = reached / torch.where(reached, n, torch.ones_like(n))
    flow_to_a = (tau**2 * sum_ba - (1 - tau) * tau * sum_ab) * scale
    return flow_to_a, ((1 - tau) ** 2 * sum_ab - tau * (1 - tau) * sum_ba) * scale


def _splat(values: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of weighted values (B, C, H, W) and of weights (B, 1, H, W) that arrive at each pixel.

    A pixel moves by its flow and adds to the four pixels around its target, with weights exp(-d²),
    d being the distance; targets outside the image are dropped.
    """
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
