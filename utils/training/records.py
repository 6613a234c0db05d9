"""Numbers and images of a training run: `metrics.jsonl`, TensorBoard, and their reading back."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from data.files.images import replacing
from utils.errors import InputError


class Recorder:
    """Appends to the records of an experiment, from the step it resumed at."""

    def __init__(self, folder: Path, first_step: int) -> None:
        """Open the records and drop those beyond `first_step`, which will be written again.

        Raises:
            InputError: the records cannot be written.
        """
        self.path = folder / "metrics.jsonl"
        _drop_beyond(self.path, first_step)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Record named numbers of a step; those that are not finite become null.

        Raises:
            InputError: no space left or no permission.
        """
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **finite}) + "\n")
        except OSError as error:
            raise InputError(f"{self.path}: cannot write there: {error.strerror}") from error
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def show(self, step: int, name: str, image: Tensor) -> None:
        """Record a (3, H, W) image in [0, 1] of a step."""
        self._board.add_image(name, image.clamp(0, 1), step)

    def close(self) -> None:
        """Write out what is pending."""
        self._board.close()


def read_records(path: Path) -> list[dict[str, Any]]:
    """All records of a `metrics.jsonl`; a last line cut short by a kill is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            records.append(json.loads(line))
    return records


def _drop_beyond(path: Path, step: int) -> None:
    """Keep the records up to and including `step`; none of them if that is 0, a new start."""
    kept = [record for record in read_records(path) if step and record["step"] <= step]
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in kept))
