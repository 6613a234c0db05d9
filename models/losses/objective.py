"""Base class of objectives: weighted loss terms and the frozen networks that they need."""

from collections.abc import Callable, Collection, Mapping
from pkgutil import resolve_name
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.losses.table import TERMS, Kind

OF_IMAGES: tuple[Kind, ...] = ("pixels", "images")
"""Kinds of terms that compare images."""


class Loss(NamedTuple):
    """Total loss and its terms.

    Attributes:
        total: () sum of the terms.
        terms: weighted terms by name, detached.
    """

    total: Tensor
    terms: dict[str, Tensor]


def weigh(weights: Mapping[str, float], terms: Mapping[str, Tensor]) -> Loss:
    """Weight the terms and sum them."""
    weighted = {name: weights[name] * value for name, value in terms.items()}
    total = torch.stack(list(weighted.values())).sum()
    return Loss(total, {name: value.detach() for name, value in weighted.items()})


def add(first: Loss, second: Loss) -> Loss:
    """Sum two losses that have different terms."""
    return Loss(first.total + second.total, first.terms | second.terms)


class Objective(nn.Module):
    """(network, batch) -> `Loss`.

    Attributes:
        weights: factor of each term by name; terms without one are not computed.
        networks: frozen networks of terms that need one, by the term's name.
        teacher: frozen network whose frames are a target; None without one.
    """

    def __init__(
        self, weights: Mapping[str, float], networks: Mapping[str, nn.Module] | None = None
    ) -> None:
        """Set the terms' weights and networks.

        Raises:
            ValueError: the network of a weighted term is missing.
        """
        super().__init__()
        self.weights = dict(weights)
        self.networks = nn.ModuleDict()
        self.teacher: nn.Module | None = None
        self._functions: dict[str, Callable[..., Tensor]] = {}
        for name in sorted(weights, key=list(TERMS).index):
            if not TERMS[name].weights_from:
                self._functions[name] = resolve_name(TERMS[name].function)
            elif networks and name in networks:
                self.networks[name] = self._functions[name] = networks[name]
            else:
                raise ValueError(f"the term {name} is weighted, but its network is not given")

    def terms(self, kinds: Collection[Kind], *arguments: object) -> dict[str, Tensor]:
        """Unweighted values of the weighted terms of some kinds, in the table's order.

        Args:
            kinds: kinds of `models.losses.table`.
            arguments: arguments of terms of these kinds.
        """
        return {
            name: function(*arguments)
            for name, function in self._functions.items()
            if TERMS[name].kind in kinds
        }
