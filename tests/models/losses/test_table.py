import pytest

from models.losses.table import parse_loss
from utils.errors import InputError


def test_released_string() -> None:
    weights = parse_loss("1*Charbonnier|1e-1*Perceptual| 1e-1 * Variation", "cycle")
    assert weights == {"Charbonnier": 1.0, "Perceptual": 0.1, "Variation": 0.1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Charbonnier", "expected terms like '1\\*Charbonnier', got 'Charbonnier'"),
        ("", "expected terms like"),
        ("1*SSIM", "unknown term 'SSIM'; cycle offers Charbonnier, Perceptual, Variation"),
        ("1*Flow", "unknown term 'Flow'"),
        ("1*Decibels", "unknown term 'Decibels'"),
        ("1*Charbonnier|2*Charbonnier", "Charbonnier is given twice"),
        ("x*Charbonnier", "expected a number before '\\*', got 'x'"),
        ("-1*Charbonnier", "finite and not negative, got -1"),
        ("nan*Charbonnier", "finite and not negative, got nan"),
    ],
)
def test_bad_strings(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_loss(text, "cycle")


def test_flow_belongs_to_supervised() -> None:
    assert parse_loss("0.5*Flow", "supervised") == {"Flow": 0.5}
