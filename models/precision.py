"""In which precision a network's convolutions run."""

from typing import Literal

import torch

Precision = Literal["float32", "bfloat16", "auto"]
"""\"auto\" takes bfloat16 where the hardware computes with it."""


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """What a network runs in; warps, flows and blending stay in float32 inside."""
    lower = precision == "bfloat16" or (precision == "auto" and computes_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=lower)


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices itself, faster than float32 ones."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False
