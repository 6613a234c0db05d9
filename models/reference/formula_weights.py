"""Weights by formula, as every network of `tests/references` has them (see its README)."""

import zlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn


def fill_by_formula(
    module_or_state: nn.Module | Mapping[str, Tensor],
    base_seed: int,
    gain: float,
    *,
    prefix: str = "",
) -> None:
    """Fill every tensor of a module or state dict with values drawn from its name and shape.

    Args:
        module_or_state: filled in place.
        base_seed: the seed stored with the reference.
        gain: 1 for the generator, sqrt(2) for PWC-Net and VGG-19.
        prefix: of the released names, which ours lack, such as "features.".
    """
    state = module_or_state
    if isinstance(state, nn.Module):
        state = state.state_dict()
    for name, tensor in state.items():
        values = _draw_values(prefix + name, tuple(tensor.shape), base_seed, gain)
        with torch.no_grad():
            tensor.copy_(torch.from_numpy(values))


def _draw_values(
    name: str, shape: tuple[int, ...], base_seed: int, gain: float
) -> npt.NDArray[np.float32]:
    """PReLU slopes 0.25, biases N(0, 0.01²), weights N(0, gain² / fan in), seeded by the name."""
    if len(shape) == 1 and name.endswith("weight"):
        return np.full(shape, 0.25, dtype=np.float32)
    generator = np.random.RandomState((zlib.crc32(name.encode()) ^ base_seed) & 0xFFFFFFFF)
    draw = generator.standard_normal(int(np.prod(shape))).reshape(shape)
    if len(shape) == 1:
        return (draw * 0.01).astype(np.float32)
    fan_in = int(np.prod(shape[1:]))
    return (draw * gain / np.sqrt(fan_in)).astype(np.float32)
