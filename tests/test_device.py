import sys
from pathlib import Path

import numpy as np
import pytest

from utils.device import release_memory


def held() -> int:
    """Bytes of memory that this process holds now."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmRSS:")))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_what_is_free_is_given_back() -> None:
    megabyte = 2**20
    # Small blocks that stay in use between large ones keep these from the end of the heap.
    blocks = [np.ones(count, np.uint8) for _ in range(1500) for count in (100_000, 2_000)]
    kept = blocks[1::2]
    before = held()
    del blocks
    release_memory()
    assert held() < before - 100 * megabyte
    assert all(block.all() for block in kept)
