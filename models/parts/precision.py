"""Precision of a network's convolutions."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from models.parts.settings import Precision


@contextmanager
def autocast(precision: Precision, device: torch.device) -> Iterator[None]:
    """Context for running a network; warps, flows and blending stay in float32.

    TF32 is disabled, so that float32 means the same on every device.
    """
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=is_lower(precision, device)):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed


def is_lower(precision: Precision, device: torch.device) -> bool:
    """Whether the precision selects bfloat16 on this device."""
    return precision == "bfloat16" or (precision == "auto" and computes_bfloat16(device))


def slow_bfloat16(precision: Precision, device: torch.device) -> str | None:
    """One line if bfloat16 was asked for on a CPU that emulates it; None otherwise."""
    if precision != "bfloat16" or device.type != "cpu" or computes_bfloat16(device):
        return None
    return (
        "precision 'bfloat16': this CPU has neither AVX512-BF16 nor AMX and emulates it; a pass "
        "takes about 11 times as long as in float32; set precision to 'auto' or 'float32'"
    )


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 matrix products in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False
