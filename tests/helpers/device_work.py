"""What is asked of a device: its operations, and where a program waits for values."""

from collections import Counter
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# They wait for values of the device, or have outputs whose sizes depend on values.
WAITING = {"_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "unique"}
# They make another view of a tensor, or give a device no work.
FREE = {"view", "_unsafe_view", "expand", "permute", "transpose", "slice", "select", "unsqueeze"}
FREE |= {"squeeze", "alias", "unbind", "detach", "as_strided", "split", "split_with_sizes", "t"}
FREE |= {"diagonal", "empty", "empty_like", "empty_strided", "lift_fresh", "scalar_tensor"}
READING = {"cpu", "item", "tolist", "nonzero", "__bool__", "__float__", "__int__", "__index__"}


class Operations(TorchDispatchMode):
    """Counts operations."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Number of operations that give a device work."""
        return sum(count for name, count in self.counts.items() if name not in FREE)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.counts[name] += 1
        # An index by a mask becomes `nonzero` inside the operation.
        if name in ("index", "index_put_", "index_put"):
            assert all(part is None or part.dtype != torch.bool for part in args[1])
        return func(*args, **(kwargs or {}))


class Reads(TorchFunctionMode):
    """Counts methods by which a program gets values of tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if (name := getattr(func, "__name__", "")) in READING:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))
