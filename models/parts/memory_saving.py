"""Training in less memory: chunked backward passes, and gradient checkpointing.

A mean over a batch is a sum over its chunks. Where only its gradient is wanted, each chunk can be
differentiated as soon as it is computed: the activations of the whole batch are never in memory
together, and nothing is computed twice.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint


def chunked_sum(batch: Tensor, size: int, term: Callable[[Tensor, slice], Tensor]) -> Tensor:
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


def checkpoint_blocks(network: nn.Module) -> None:
    """Gradient checkpointing: store only each block's input, recompute its activations backwards.

    Args:
        network: changed in place; its weights and names stay.
    """
    for part in network.children():
        for block in part.children():
            again = partial(
                checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False
            )
            setattr(block, "forward", again)  # noqa: B010 - mypy refuses to assign to a method
