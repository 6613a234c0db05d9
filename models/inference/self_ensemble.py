"""Corrections averaged over a symmetry of what they correct (geometric self-ensemble).

Mirrored left to right and running backwards, a capture is another one that two sensors could have
taken (`data.transforms`): of it a method makes the same frames with other errors.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.inference.correction import Method
from models.inference.correction_flows import CorrectionWithFlows, FlowMethod

_COLUMNS = -1


def average_both_ways(method: Method) -> Method:
    """The mean of a method's frames and of those of the mirrored, reversed capture, in float32."""

    def correct(pair: Tensor, times: Sequence[float], *, scan_time: Tensor | None = None) -> Tensor:
        frames = method(pair, times, scan_time=scan_time)
        others = method(*_reverse(pair, times), scan_time=scan_time)
        for frame, other in zip(frames, others, strict=True):  # a third set would be large
            frame.add_(_mirror(other)).div_(2)
        return frames

    return correct


def average_both_ways_with_flows(method: FlowMethod) -> FlowMethod:
    """As `average_both_ways`, flows included."""

    def correct(
        pair: Tensor, times: Sequence[float], *, scan_time: Tensor | None = None
    ) -> CorrectionWithFlows:
        here = method(pair, times, scan_time=scan_time)
        there = method(*_reverse(pair, times), scan_time=scan_time)
        signs = there.flows.new_tensor((-1, 1))[:, None, None]  # dx changes its sign
        flows = _mirror(there.flows.flip(1)) * signs
        return CorrectionWithFlows(
            (here.frames + _mirror(there.frames)) / 2, (here.flows + flows) / 2
        )

    return correct


def _reverse(pair: Tensor, times: Sequence[float]) -> tuple[Tensor, list[float]]:
    """The pair, mirrored and with its views exchanged, and when its frames then happen."""
    return _mirror(pair.flip(0)), [1 - t for t in times]


def _mirror(images: Tensor) -> Tensor:
    return torch.flip(images, (_COLUMNS,))
