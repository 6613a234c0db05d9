"""Gradients that are taken during the forward pass, part by part of a batch.

A mean over a batch is a sum of its parts' shares. Where only its gradient is wanted, each part can
be differentiated as soon as it is computed: the batch's activations are never together in memory,
and nothing is computed twice.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint


def sum_of_parts(batch: Tensor, size: int, term: Callable[[Tensor, slice], Tensor]) -> Tensor:
    """Sum of a batch's terms, each differentiated at once with respect to its part.

    Args:
        batch: (B, ...).
        size: how many of the B make a part.
        term: (part, its place in the batch) -> (); its gradient must reach the part only.

    Returns:
        (), to be differentiated once.
    """
    wanted = batch.requires_grad and torch.is_grad_enabled()
    total = torch.zeros((), dtype=batch.dtype, device=batch.device)
    gradient = torch.zeros_like(batch) if wanted else None
    for start in range(0, len(batch), size):
        place = slice(start, start + size)
        part = batch[place].detach().requires_grad_(wanted)
        value = term(part, place)
        if gradient is not None:
            with torch.autocast(batch.device.type, enabled=False):
                (gradient[place],) = torch.autograd.grad(value, part)
        total = total + value.detach()
    return total if gradient is None else _Known.apply(batch, total, gradient)


class _Known(torch.autograd.Function):
    """A value of `batch` whose gradient is known."""

    @staticmethod
    def forward(ctx: Any, batch: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        """The value."""
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        """The known gradient times that of the value."""
        (gradient,) = ctx.saved_tensors
        return gradient * outer, None, None


def recompute(network: nn.Module) -> None:
    """Keep of the network's blocks only what enters them; the rest is made again going backwards.

    Args:
        network: a generator or refiner, changed in place; its weights and names stay.
    """
    for part in network.children():
        for block in part.children():
            again = partial(
                checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False
            )
            setattr(block, "forward", again)  # noqa: B010 - mypy refuses to assign to a method
