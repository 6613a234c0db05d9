"""Training objectives: (network, batch) -> total loss and its named, weighted terms.

* `CycleObjective`: stage 1, self-supervised by rebuilding the inputs (paper, section 3).
* `DistillationObjective`: stage 2, adds a frozen teacher that sees a larger crop (paper,
  section 3).
* `SupervisedObjective`: true global-shutter frames, for simulated scenes and comparisons.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from data.capture import TrainingSample
from data.time_maps import offset_maps
from models.classical.field import CELL
from models.distortion import Rebuilt, rebuild
from models.flow.networks import flows_between
from models.losses.hidden_pixels import hide_pixels
from models.losses.objective import OF_IMAGES, Loss, Objective, add, weigh
from models.losses.table import terms_of
from models.losses.terms import CHARBONNIER_EPSILON, charbonnier
from models.parts.memory_saving import chunked_sum
from models.parts.network import CorrectionOutput
from models.plusplus.rebuilding import rebuild_by_interpolation
from models.warping import Sampling

_FLOW_ORDER = ((0, 2), (2, 0), (0, 1), (1, 0), (1, 2), (2, 1))
"""The flows 0 -> 1, 1 -> 0, 0 -> t, t -> 0, t -> 1, 1 -> t as indices of the frames (0, t, 1)."""

FindCues = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(pairs, scan times, instants) -> motion cues, as `CorrectionNetwork.find_batch_cues`."""


def correct_batch(
    network: nn.Module, batch: TrainingSample, instants: Sequence[float] | None = None
) -> CorrectionOutput:
    """Make frames of every capture in a batch at 0, t and 1, or at the same `instants` of all."""
    t = batch.t
    times = _times_of(t) if instants is None else t.new_tensor(instants).expand(len(t), -1)
    offsets = offset_maps(batch.scan_time, times).expand(-1, -1, -1, batch.pair.shape[-1])
    if batch.cues is None:
        return network(batch.pair, offsets)
    return network(batch.pair, offsets, batch.cues)


def _times_of(t: Tensor) -> Tensor:
    """The instants (B, 3) 0, t and 1."""
    return torch.stack((torch.zeros_like(t), t, torch.ones_like(t)), dim=1)


class CorrectionObjective(Objective):
    """Objective of a correction network, with the interface that validation uses."""

    find_cues: FindCues | None = None
    """Finds the motion cues of batches without; None: networks that take cues find them."""

    def with_cues(self, batch: TrainingSample) -> TrainingSample:
        """A batch with the motion cues that `find_cues` finds, if it has none."""
        if self.find_cues is None or batch.cues is not None:
            return batch
        cues = self.find_cues(batch.pair, batch.scan_time, _times_of(batch.t))
        return batch._replace(cues=cues)

    @property
    def rebuilding(self) -> "CycleObjective | None":
        """The objective that rebuilds the inputs from frames; None if there is none."""
        return None

    def student_batch(self, batch: TrainingSample) -> TrainingSample:
        """Crop a batch to the part that the trained network sees."""
        return batch


class CycleObjective(CorrectionObjective):
    """Stage 1: rebuild both rolling-shutter inputs from the frames, without true frames.

    The network makes frames at 0, t and 1; the frozen flow network estimates the six flows between
    them; `models.distortion` rebuilds t2b and b2t, each whole and split. With a frozen interpolator
    in place of the flow network, `models.plusplus.rebuilding` does. SelfDRSC's released loss is
    1 Charbonnier + 0.1 Perceptual over the four rebuilt images, summed over them and without a
    validity mask, plus 0.1 Variation of the network's four flow levels.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        *,
        flow: nn.Module | None = None,
        interpolator: nn.Module | None = None,
        networks: Mapping[str, nn.Module] | None = None,
        sampling: Sampling = "aligned",
        flow_gradients: bool = True,
        hidden_share: float = 0.0,
    ) -> None:
        """Build the objective.

        Args:
            weights: factors of terms that "cycle" offers (`models.losses.table`).
            flow: frozen network, (first, second) -> flow.
            interpolator: frozen network, (first, second, position) -> image, in place of `flow`.
            networks: networks of terms that need one; `Perceptual` needs VGG-19.
            sampling: sampling rule of the distortion warping.
            flow_gradients: whether gradient reaches the frames through `flow`, as released.
            hidden_share: share of pixels hidden from the network; if positive, image terms compare
                only these (`models.losses.hidden_pixels`).

        Raises:
            ValueError: the network of a weighted term is missing, or there is not exactly one of
                `flow` and `interpolator`.
        """
        if (flow is None) == (interpolator is None):
            raise ValueError("expected either a flow network or an interpolator")
        super().__init__(weights, networks)
        self.flow = flow
        self.interpolator = interpolator
        self.sampling: Sampling = sampling
        self.flow_gradients = flow_gradients
        self.hidden_share = hidden_share

    @property
    def rebuilding(self) -> "CycleObjective":
        """This objective."""
        return self

    def forward(self, network: nn.Module, batch: TrainingSample) -> Loss:
        """Cycle-consistency loss of a batch."""
        seen, hidden = self.hide(batch)
        return self.judge(correct_batch(network, seen), batch, hidden)

    def hide(self, batch: TrainingSample) -> tuple[TrainingSample, Tensor | None]:
        """Hide pixels of a batch: the batch for the network, and the mask (B, 2, 1, H, W).

        Its cues, if any, are of the pixels that the network sees.
        """
        if not self.hidden_share:
            return self.with_cues(batch), None
        pair, hidden = hide_pixels(batch.pair, self.hidden_share)
        return self.with_cues(batch._replace(pair=pair, cues=None)), hidden

    def judge(
        self, output: CorrectionOutput, batch: TrainingSample, hidden: Tensor | None = None
    ) -> Loss:
        """Cycle loss of the network's output; with `hidden`, of these pixels only.

        Flows and features take more memory than the network. On a CPU, where batches are no faster,
        each sample is therefore differentiated on its own (`chunked_sum`).
        """
        frames = output.frames
        terms: dict[str, Tensor] = {}

        def image_loss(part: Tensor, place: slice) -> Tensor:
            own = TrainingSample(batch.pair[place], batch.scan_time[place], batch.t[place])
            unseen = None if hidden is None else hidden[place]
            loss = weigh(self.weights, self._cycle_terms(part, own, unseen))
            share = len(part) / len(frames)
            for name, value in loss.terms.items():
                terms[name] = terms.get(name, torch.zeros_like(value)) + value * share
            return loss.total * share

        size = 1 if frames.device.type == "cpu" else len(frames)
        images = Loss(chunked_sum(frames, size, image_loss), terms)
        of_flows = self.terms(["flows"], output.flows)
        return add(images, weigh(self.weights, of_flows)) if of_flows else images

    def _cycle_terms(
        self, frames: Tensor, batch: TrainingSample, hidden: Tensor | None
    ) -> dict[str, Tensor]:
        """Unweighted image terms of the inputs rebuilt from frames (B, 3, 3, H, W)."""
        rebuilt = self.rebuild(frames, batch)
        images = torch.stack((rebuilt.whole, rebuilt.split), dim=1)  # (B, 2, 2, 3, H, W)
        target = batch.pair[:, None]
        if hidden is not None:
            chosen = hidden[:, None].expand_as(images)
            images, target = images[chosen], target.expand_as(images)[chosen]
        terms = self.terms(OF_IMAGES, images, target)
        # The released loss sums over the four rebuilt images; our terms are means.
        return {name: 4 * value for name, value in terms.items()}

    def rebuild(self, frames: Tensor, batch: TrainingSample) -> Rebuilt:
        """Rebuild the batch's inputs from its (B, 3, 3, H, W) frames at 0, t and 1."""
        scan_time = batch.scan_time[:, None, :, None].expand(-1, 1, -1, frames.shape[-1])
        if self.interpolator is not None:
            return rebuild_by_interpolation(self.interpolator, frames, scan_time, batch.t)
        assert self.flow is not None
        with torch.set_grad_enabled(self.flow_gradients and torch.is_grad_enabled()):
            flows = flows_between(self.flow, frames, _FLOW_ORDER)
        return rebuild(frames, flows, scan_time, batch.t, self.sampling)


class DistillationObjective(CorrectionObjective):
    """Stage 2: the cycle objective on an inner crop, plus the distance to a frozen teacher.

    The teacher, the stage-1 network, corrects the whole crop and so has seen what lies beyond the
    student's border. The student corrects the inner crop, on which flows and rebuilding run too.
    The released loss adds 1 Charbonnier + 0.1 Perceptual between the student's three frames and the
    teacher's, cut to the inner crop; both are means over the frames.
    """

    def __init__(self, cycle: CycleObjective, teacher: nn.Module, border: int) -> None:
        """Build the objective.

        Args:
            cycle: the stage-1 objective, for the inner crop.
            teacher: the stage-1 network; frozen here.
            border: pixels on each side that only the teacher sees.

        Raises:
            ValueError: `border` is not positive.
        """
        if border < 1:
            raise ValueError(f"border must be at least 1, got {border}")
        super().__init__(cycle.weights, dict(cycle.networks))
        self.cycle, self.find_cues = cycle, cycle.find_cues
        self.teacher: nn.Module = teacher.requires_grad_(False).eval()
        self.border = border

    def train(self, mode: bool = True) -> "DistillationObjective":
        """Set the training mode, but keep the teacher in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, network: nn.Module, batch: TrainingSample) -> Loss:
        """Cycle loss on the inner crop plus the distance to the teacher's frames."""
        batch = self.with_cues(batch)
        with torch.no_grad():
            expected = self._inner(correct_batch(self.teacher, batch).frames)
        inner = self.student_batch(batch)
        seen, hidden = self.cycle.hide(inner)
        output = correct_batch(network, seen)
        loss = self.cycle.judge(output, inner, hidden)
        teacher = weigh(self.weights, self.terms(OF_IMAGES, output.frames, expected))
        terms = {f"Teacher{name}": value for name, value in teacher.terms.items()}
        return add(loss, Loss(teacher.total, terms))

    @property
    def rebuilding(self) -> CycleObjective:
        """The stage-1 objective."""
        return self.cycle

    def student_batch(self, batch: TrainingSample) -> TrainingSample:
        """Crop a batch to the inner crop."""
        rows = slice(self.border, batch.scan_time.shape[-1] - self.border)
        cues = None if batch.cues is None else self._inner(batch.cues, CELL)
        inner = TrainingSample(self._inner(batch.pair), batch.scan_time[:, rows], batch.t)
        return inner._replace(cues=cues)

    def _inner(self, images: Tensor, cell: int = 1) -> Tensor:
        """Remove the border of images, or of maps with cells of `cell` x `cell` pixels."""
        border = self.border // cell
        return images[..., border:-border, border:-border]


class SupervisedObjective(CorrectionObjective):
    """Distance to true frames at 0, t and 1, and for simulated scenes to the exact flows."""

    def __init__(
        self,
        weights: Mapping[str, float],
        networks: Mapping[str, nn.Module] | None = None,
        *,
        instants: Sequence[float] | None = None,
        charbonnier_epsilon: float = CHARBONNIER_EPSILON,
    ) -> None:
        """Build the objective.

        Args:
            weights: factors of terms that "supervised" offers (`models.losses.table`).
            networks: networks of terms that need one.
            instants: of the true frames of a network of fixed instants; None: 0, t and 1.
            charbonnier_epsilon: inside the root of `Charbonnier`.

        Raises:
            ValueError: the network of a weighted term is missing.
        """
        super().__init__(weights, networks)
        self.instants = instants
        if "Charbonnier" in self._functions:
            self._functions["Charbonnier"] = partial(charbonnier, epsilon=charbonnier_epsilon)

    def forward(self, network: nn.Module, batch: TrainingSample) -> Loss:
        """Distance of the network's frames to the truth.

        Raises:
            ValueError: the batch has no true frames, or no exact flows though a term needs them.
        """
        if batch.truth is None:
            raise ValueError("the supervised objective needs true frames, the batch has none")
        output = correct_batch(network, self.with_cues(batch), self.instants)
        terms = self.terms(OF_IMAGES, output.frames, batch.truth)
        terms |= self.terms(["flows"], output.flows)
        for name in terms_of("supervised", "true flows"):
            if name in self.weights and batch.truth_flows is None:
                raise ValueError(f"the term {name} needs exact flows, the batch has none")
        terms |= self.terms(["true flows"], output.flows, batch.truth_flows)
        return weigh(self.weights, terms)
