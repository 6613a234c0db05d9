"""Intermediate results of SelfDRSC++: encoded pairs, and the decoded motion of frames."""

from typing import NamedTuple

from torch import Tensor

from models.plusplus.volumes import Volumes
from models.warping import Canvas


class EncodedPairs(NamedTuple):
    """What does not depend on the instants.

    Attributes:
        images: canvas of the padded pairs (B, 2, 3, H', W') in the weights' channel order.
        levels: canvases of the features (B, 2, C, h, w) at 1/2, 1/4 and 1/8.
        coarsest: (B, 2, C, h, w) features at 1/16.
        volumes: at 1/8.
    """

    images: Canvas
    levels: tuple[Canvas, ...]
    coarsest: Tensor
    volumes: Volumes


class DecodedMotion(NamedTuple):
    """Motion of N = B * T frames at half size.

    Attributes:
        flows: (N, 4, ...) at 1/8, 1/4 and 1/2: (dx, dy) to t2b, then to b2t, in px of their grids.
        feature: (N, C, H'/2, W'/2).
    """

    flows: tuple[Tensor, Tensor, Tensor]
    feature: Tensor
