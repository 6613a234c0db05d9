"""What every objective is: weighted loss terms, and the frozen networks that they need."""

from collections.abc import Callable, Collection, Mapping
from pkgutil import resolve_name
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.losses.table import TERMS, Kind

OF_IMAGES: tuple[Kind, ...] = ("pixels", "images")
"""Kinds of terms that compare images."""


class Loss(NamedTuple):
    """A total to differentiate and what it is made of.

    Attributes:
        total: () sum of the terms.
        terms: weighted terms by name, detached.
    """

    total: Tensor
    terms: dict[str, Tensor]


def weigh(weights: Mapping[str, float], terms: Mapping[str, Tensor]) -> Loss:
    """The terms by their weights, and their sum."""
    weighted = {name: weights[name] * value for name, value in terms.items()}
    total = torch.stack(list(weighted.values())).sum()
    return Loss(total, {name: value.detach() for name, value in weighted.items()})


def add(first: Loss, second: Loss) -> Loss:
    """The sum of two losses of different terms."""
    return Loss(first.total + second.total, first.terms | second.terms)


class Objective(nn.Module):
    """(network, batch) -> `Loss`.

    Attributes:
        weights: factor of each term by name; terms without one are not computed.
        networks: frozen networks of terms that have one, by the term's name.
        teacher: frozen network that shows the one in training what to make; None without one.
    """

    def __init__(
        self, weights: Mapping[str, float], networks: Mapping[str, nn.Module] | None = None
    ) -> None:
        """Take the terms' weights and networks.

        Raises:
            ValueError: the network of a weighted term is missing.
        """
        super().__init__()
        self.weights = dict(weights)
        needed = {name: (networks or {}).get(name) for name in weights if TERMS[name].weights_from}
        for name, network in needed.items():
            if network is None:
                raise ValueError(f"the term {name} is weighted, but its network is not given")
        self.networks = nn.ModuleDict(
            {name: network for name, network in needed.items() if network is not None}
        )
        self.teacher: nn.Module | None = None
        self._functions: dict[str, Callable[..., Tensor]] = {
            name: self.networks[name]
            if name in self.networks
            else resolve_name(TERMS[name].function)
            for name in TERMS
            if name in weights
        }

    def terms(self, kinds: Collection[Kind], *arguments: object) -> dict[str, Tensor]:
        """Unweighted values of the weighted terms of some kinds, in the table's order.

        Args:
            kinds: of `models.losses.table`.
            arguments: what terms of these kinds are called with.
        """
        return {
            name: function(*arguments)
            for name, function in self._functions.items()
            if TERMS[name].kind in kinds
        }
