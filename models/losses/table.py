"""The loss terms, and the string that names and weights them: `"1*Charbonnier|1e-1*Variation"`.

To add a term, write its function in a file of its own and add a line to `TERMS`
(docs/EXTENDING.md). This module needs no PyTorch.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from utils.errors import InputError

Kind = Literal["pixels", "images", "flows", "true flows", "flow levels", "interpolated motion"]
"""Arguments of a term:

* "pixels": (estimate, target), any pixels of images, compared independently; a mean over all.
* "images": (estimate, target), whole images (..., 3, H, W); a mean over all.
* "flows": (levels), the network's flows as in `models.parts.network.CorrectionOutput`.
* "true flows": (levels, truth), with exact flows as in `data.capture.TrainingSample.truth_flows`.
* "flow levels": (levels, batch, settings) of the flow network, as in `models.losses.flow`.
* "interpolated motion": (motion, batch) of the interpolator, as in `models.losses.interpolation`.
"""

REBUILDING = ("cycle", "distillation")
"""The objectives that rebuild the inputs from the frames."""

_ALL = (*REBUILDING, "supervised")
_BETWEEN = "interpolation"  # the objective that trains an interpolator


class Term(NamedTuple):
    """A loss term.

    Attributes:
        function: "module:name" of the function that computes it; with `weights_from`, of the one
            that loads its network.
        kind: its arguments.
        objectives: objectives that offer it (`models.objectives`, `models.losses.flow`,
            `models.losses.interpolation`).
        weights_from: option with the weight file of the term's own network, "" if it has none.
        settings: options of `train` that the function that loads the network takes by name.
    """

    function: str
    kind: Kind
    objectives: tuple[str, ...]
    weights_from: str = ""
    settings: tuple[str, ...] = ()

    @property
    def compares_images(self) -> bool:
        """Whether it compares images, so that its gradient reaches every weight of the network."""
        return self.kind in ("pixels", "images")


TERMS: dict[str, Term] = {
    "Charbonnier": Term("models.losses.terms:charbonnier", "pixels", (*_ALL, _BETWEEN)),
    "Decibels": Term("models.losses.terms:decibels", "images", ("supervised",)),
    "Perceptual": Term(
        "models.losses.terms:load_perceptual",
        "images",
        _ALL,
        "path.perceptual_weights",
        ("perceptual_channels",),
    ),
    "Variation": Term("models.losses.terms:flow_variation", "flows", _ALL),
    "Lap": Term("models.losses.laplacian:laplacian_distance", "images", (*REBUILDING, _BETWEEN)),
    "Flow": Term("models.losses.terms:flow_endpoint", "true flows", ("supervised",)),
    "Endpoint": Term("models.losses.flow:multiscale_endpoint", "flow levels", ("flow",)),
    "Matching": Term("models.losses.flow:matching", "flow levels", ("flow",)),
    "Motion": Term(
        "models.losses.interpolation:motion_endpoint", "interpolated motion", (_BETWEEN,)
    ),
}
"""Every term by its name, in the order of summation."""


def terms_of(objective: str, *kinds: Kind) -> Iterator[str]:
    """Names of the terms that an objective offers, of the given kinds or all."""
    for name, term in TERMS.items():
        if objective in term.objectives and (not kinds or term.kind in kinds):
            yield name


def full_gradient_terms(objective: str) -> list[str]:
    """Names of the terms whose gradient reaches every weight of the network."""
    if objective == "flow":
        return ["Endpoint"]
    return [name for name in terms_of(objective) if TERMS[name].compares_images]


def parse_loss(text: str, objective: str) -> dict[str, float]:
    """Weights of loss terms by name.

    Args:
        text: terms joined by `|`, each `weight*Name`.
        objective: objective that must offer the terms.

    Raises:
        InputError: a term cannot be parsed, is unknown, repeated or has a negative weight, or no
            term compares images although the objective rebuilds them.
    """
    weights: dict[str, float] = {}
    known = list(terms_of(objective))
    for term in text.split("|"):
        factor, star, name = (part.strip() for part in term.partition("*"))
        if not star or not name:
            raise InputError(f"loss {text!r}: expected terms like '1*Charbonnier', got {term!r}")
        if name not in known:
            raise InputError(
                f"loss {text!r}: unknown term {name!r}; {objective} offers {', '.join(known)}"
            )
        if name in weights:
            raise InputError(f"loss {text!r}: {name} is given twice; keep one")
        weights[name] = _parse_weight(factor, text)
    if objective in REBUILDING and not any(TERMS[name].compares_images for name in weights):
        raise InputError(
            f"loss {text!r}: {objective} needs {' or '.join(full_gradient_terms(objective))}"
        )
    return weights


def _parse_weight(number: str, text: str) -> float:
    try:
        value = float(number)
    except ValueError:
        raise InputError(f"loss {text!r}: expected a number before '*', got {number!r}") from None
    if not 0 <= value < float("inf"):
        raise InputError(f"loss {text!r}: weights must be finite and not negative, got {number}")
    return value
