"""Networks, warps and objectives of dual reversed rolling-shutter correction.

`from models import load_correction` gives a correction of NumPy arrays and tensors.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.arrays import ArrayCorrection, load_correction

__all__ = ["ArrayCorrection", "load_correction"]


def __getattr__(name: str) -> Any:
    # Imported on demand: options read this package's tables without loading PyTorch.
    if name not in __all__:
        raise AttributeError(f"module 'models' has no attribute {name!r}")
    from models import arrays

    return getattr(arrays, name)
