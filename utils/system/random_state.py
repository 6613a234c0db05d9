"""Seed, save and restore the random number generators of a process."""

import random
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch on all devices."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state(device: torch.device) -> dict[str, Any]:
    """State of this process's generators, in types that `torch.load` reads safely."""
    version, words, gauss = random.getstate()
    mersenne = np.random.get_state(legacy=False)
    keys = torch.from_numpy(mersenne["state"]["key"].astype(np.int64))
    state: dict[str, Any] = {
        "python": (version, list(words), gauss),
        "numpy": {
            "keys": keys,
            "position": mersenne["state"]["pos"],
            "has_gauss": mersenne["has_gauss"],
            "gauss": mersenne["gauss"],
        },
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore a state of this process's generators that `random_state` returned."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    stored = state["numpy"]
    keys = stored["keys"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, stored["position"], stored["has_gauss"], stored["gauss"]))
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
