"""The string that names and weights loss terms: `"1*Charbonnier|1e-1*Variation"`."""

from types import MappingProxyType

from utils.errors import InputError

TERMS = MappingProxyType(
    {
        "cycle": ("Charbonnier", "Perceptual", "Variation"),
        "distillation": ("Charbonnier", "Perceptual", "Variation"),
        "supervised": ("Charbonnier", "Decibels", "Perceptual", "Variation", "Flow"),
        "flow": ("Endpoint", "Matching"),
    }
)
"""Terms that each objective offers (`models.objectives`, `models.losses.flow`)."""

_OF_IMAGES = ("Charbonnier", "Perceptual")
"""Of them those without which a cycle has nothing to compare."""


def parse_loss(text: str, objective: str) -> dict[str, float]:
    """Weights of loss terms by name.

    Args:
        text: terms joined by `|`, each `weight*Name`.
        objective: whose terms may be named, a key of `TERMS`.

    Raises:
        InputError: a term cannot be read, is unknown, repeated or has a negative weight, or no term
            compares images where the objective rebuilds them.
    """
    weights: dict[str, float] = {}
    for term in text.split("|"):
        factor, star, name = (part.strip() for part in term.partition("*"))
        if not star or not name:
            raise InputError(f"loss {text!r}: expected terms like '1*Charbonnier', got {term!r}")
        if name not in TERMS[objective]:
            known = ", ".join(TERMS[objective])
            raise InputError(f"loss {text!r}: unknown term {name!r}; {objective} knows {known}")
        if name in weights:
            raise InputError(f"loss {text!r}: {name} is given twice; keep one")
        weights[name] = _non_negative(factor, text)
    if objective in ("cycle", "distillation") and not any(name in weights for name in _OF_IMAGES):
        raise InputError(f"loss {text!r}: {objective} needs {' or '.join(_OF_IMAGES)}")
    return weights


def _non_negative(number: str, text: str) -> float:
    try:
        value = float(number)
    except ValueError:
        raise InputError(f"loss {text!r}: expected a number before '*', got {number!r}") from None
    if not 0 <= value < float("inf"):
        raise InputError(f"loss {text!r}: weights must be finite and not negative, got {number}")
    return value
