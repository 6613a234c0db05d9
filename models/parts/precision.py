"""In which precision a network's convolutions run."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from models.parts.settings import Precision


@contextmanager
def autocast(precision: Precision, device: torch.device) -> Iterator[None]:
    """What a network runs in; warps, flows and blending stay in float32 inside.

    PyTorch lets a GPU round what float32 convolutions take to 10 bits (TF32); here it must not, so
    that float32 means the same on every device.
    """
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=is_lower(precision, device)):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed


def is_lower(precision: Precision, device: torch.device) -> bool:
    """Whether a precision means bfloat16 on this device."""
    return precision == "bfloat16" or (precision == "auto" and computes_bfloat16(device))


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices itself, faster than float32 ones."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False
