"""Networks, warps and objectives of dual reversed rolling-shutter correction.

`from models import load_correction` gives what corrects NumPy arrays.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.inference.arrays import ArrayCorrector, load_correction

__all__ = ["ArrayCorrector", "load_correction"]


def __getattr__(name: str) -> Any:
    # On demand: what it imports imports modules of this package in turn.
    if name not in __all__:
        raise AttributeError(f"module 'models' has no attribute {name!r}")
    from models.inference import arrays

    return getattr(arrays, name)
