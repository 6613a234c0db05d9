"""Frames and ground-truth flow in the layout of the Middlebury benchmark."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.files.images import read_image
from data.files.reading import read_regular
from data.training.flow_pairs import FlowSample
from utils.errors import InputError

_FRAMES, _FLOW = ("frame10.png", "frame11.png"), "flow10.flo"

_MAGIC = 202021.25
_HEADER = 12  # bytes: magic number, columns, rows
_MAX_FLOW = 1e9  # px; larger values mark pixels of unknown flow


class FlowFolder(Dataset[FlowSample]):
    """Every scene with `frame10.png`, `frame11.png` and `flow10.flo`.

    They are in folders named after the scene: one for all three or, as in Middlebury's archives,
    one for the frames and one for the flow. Occlusions are unknown, so nothing is marked visible.
    """

    def __init__(self, root: str | Path) -> None:
        """Find the scenes, in order of their names.

        Raises:
            InputError: the folder is missing, holds no flow, or a scene lacks a frame.
        """
        if not Path(root).is_dir():
            raise InputError(f"{root}: expected a folder of frames and flow, got no folder")
        self.scenes = _find_by_scene(root, _FLOW)
        if not self.scenes:
            raise InputError(f"{root}: no {_FLOW} found in it or its subfolders")
        self._frames = [_find_by_scene(root, name) for name in _FRAMES]
        for found, name in zip(self._frames, _FRAMES, strict=True):
            for scene, path in self.scenes.items():
                if scene not in found:
                    raise InputError(f"{path}: expected {name} in a folder '{scene}', got none")

    def __len__(self) -> int:
        """Number of scenes."""
        return len(self.scenes)

    def __getitem__(self, index: int) -> FlowSample:
        """Scene `index`; unknown flow is NaN.

        Raises:
            InputError: a file cannot be read, or frames and flow differ in size.
        """
        scene, path = list(self.scenes.items())[index]
        first, second = (read_image(found[scene]) for found in self._frames)
        flow = read_flow(path)
        sizes = [tuple(value.shape[1:]) for value in (first, second, flow)]
        if len(set(sizes)) > 1:
            raise InputError(f"{path}: expected flow and frames of one size, got {sizes}")
        return FlowSample(first, second, flow, torch.zeros(1, *sizes[0]))


def read_flow(path: str | Path) -> Tensor:
    """Read a `.flo` file.

    Returns:
        (2, H, W) float32 displacements (dx, dy) in pixels, NaN where the flow is unknown.

    Raises:
        InputError: the file is missing, cannot be read, is not a .flo file or has a wrong length.
    """
    try:
        data = read_regular(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) < _HEADER or np.frombuffer(data, "<f4", 1)[0] != _MAGIC:
        raise InputError(f"{path}: expected a .flo file, got something else")
    width, height = (int(side) for side in np.frombuffer(data, "<i4", 2, offset=4))
    expected = _HEADER + 8 * width * height
    if width < 1 or height < 1 or len(data) != expected:
        raise InputError(
            f"{path}: damaged or truncated: expected {expected} bytes for {width}x{height} pixels, "
            f"got {len(data)}"
        )
    values = np.frombuffer(data, "<f4", offset=_HEADER).reshape(height, width, 2)
    flow = torch.from_numpy(values.transpose(2, 0, 1).copy())
    unknown = ~(flow.abs() < _MAX_FLOW).all(dim=0)
    return flow.masked_fill(unknown, float("nan"))


def _find_by_scene(root: str | Path, name: str) -> dict[str, Path]:
    """Find files of a name below `root`, by the names of their folders in order."""
    return dict(sorted((path.parent.name, path) for path in Path(root).rglob(name)))
