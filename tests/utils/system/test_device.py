import sys

import numpy as np
import pytest

from utils.benchmarks.measuring import own_memory
from utils.system.device import release_memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_what_is_free_is_given_back() -> None:
    megabyte = 2**20
    # Small blocks that stay in use between large ones keep these from the end of the heap.
    blocks = [np.ones(count, np.uint8) for _ in range(1500) for count in (100_000, 2_000)]
    kept = blocks[1::2]
    before = own_memory()
    del blocks
    release_memory()
    assert own_memory() < before - 100 * megabyte
    assert all(block.all() for block in kept)
