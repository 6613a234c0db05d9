"""Less memory for more time: activations that are computed again instead of kept."""

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint


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
