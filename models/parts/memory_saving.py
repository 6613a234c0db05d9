"""Training in less memory: chunked backward passes, and gradient checkpointing.

A mean over a batch is a sum over its chunks. Each chunk is differentiated as soon as its term is
computed, so that activations of one chunk only are in memory, and nothing is computed twice.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint


def chunked_sum(batch: Tensor, size: int, term: Callable[[Tensor, slice], Tensor]) -> Tensor:
    """Sum a term over the chunks of a batch, differentiating each chunk right away.

    Args:
        batch: (B, ...).
        size: samples per chunk.
        term: (chunk, its slice of the batch) -> (); its gradient must reach the chunk only.

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
    return total if gradient is None else _KnownGradient.apply(batch, total, gradient)


class _KnownGradient(torch.autograd.Function):
    """A function of `batch` with precomputed value and gradient."""

    @staticmethod
    def forward(ctx: Any, batch: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        """Return the value."""
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        """Scale the gradient."""
        (gradient,) = ctx.saved_tensors
        return gradient * outer, None, None


def checkpoint_blocks(network: nn.Module) -> None:
    """Gradient checkpointing: store each block's input only, recompute activations in backward.

    Args:
        network: changed in place; weights and their names stay.
    """
    for part in network.children():
        for block in part.children():
            again = partial(
                checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False
            )
            setattr(block, "forward", again)  # noqa: B010 - mypy refuses to assign to a method
