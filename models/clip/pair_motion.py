"""The motion of a pair of a clip, and what its joints need of its views; arrays or tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.classical.estimation import estimate_motion, to_cells
from models.classical.field import MotionField
from models.device_motion import estimation as device_estimation
from models.device_motion.estimation import takes_tensors
from models.flow.dis import single_threaded_opencv, to_luma
from models.measurement.arrays import Array, Luma
from models.measurement.flow_measurement import to_pixels
from models.measurement.scan import Scan
from models.parts.settings import MotionEstimate


@dataclass(frozen=True)
class PairMotion:
    """A pair of a clip with what is estimated once.

    Attributes:
        field: its motion.
        cells: (2, h, w, 3) means over the cells of both views.
        luma: of both views, (H, W) each.
    """

    field: MotionField
    cells: Sequence[Array]
    luma: tuple[Luma, Luma]

    @classmethod
    @torch.no_grad()
    def of(cls, pair: Tensor, scan_time: Tensor, estimate: MotionEstimate = "auto") -> "PairMotion":
        """Estimate the motion of a pair (2, 3, H, W) whose t2b rows are exposed at (H,).

        `estimate` says whether by arrays or by tensors on the pair's device.
        """
        if takes_tensors(estimate, pair.device):
            pairs = pair[None].float()
            means: Any = device_estimation.to_cells(pairs).unbind(1)
            lumas: Any = device_estimation.to_lumas(pairs).unbind(1)
            return cls(device_estimation.estimate_one(pair, scan_time), means, lumas)
        t2b, b2t = to_pixels(pair)
        with single_threaded_opencv():
            field = estimate_motion(t2b, b2t, Scan.of(scan_time, len(t2b)))
            cells = [to_cells(view) for view in (t2b, b2t)]
        return cls(field, cells, (to_luma(t2b), to_luma(b2t)))
