"""Pictures of the same validation captures at every validation, to see a training change."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from data.capture import CapturePair
from data.files.folders import prepare_output_folder
from data.files.images import to_uint8, write_image
from models.inference.correction import AS_TRAINED, correct
from models.parts.network import CorrectionNetwork
from models.parts.settings import InferenceSettings
from utils.training.data import Captures, spread

_MIDDLE = 0.5


@torch.no_grad()
def validation_pictures(
    network: CorrectionNetwork,
    captures: Captures[CapturePair],
    count: int,
    settings: InferenceSettings = AS_TRAINED,
) -> Iterator[tuple[str, Tensor]]:
    """Name and picture (3, H, n * W) of `count` captures, spread over all; the same every time.

    Side by side, as the camera saw them: t2b, b2t, the frame at t = 0.5 and, if the capture has it,
    the true one.

    Args:
        network: left in the mode it was in.
        captures: of the validation.
        count: number of pictures, all captures at most.
        settings: of the network.
    """
    was_training = network.training
    network.eval()
    for index in spread(len(captures), count):
        capture = captures[index]
        made = correct(
            network, capture.pair, [_MIDDLE], scan_time=capture.scan_time, settings=settings
        )
        frame = made.frames[0]
        images = [capture.t2b, capture.b2t, frame.cpu()]
        if capture.truth is not None and capture.truth_times is not None:
            nearest = int((capture.truth_times - _MIDDLE).abs().argmin())
            if float(capture.truth_times[nearest]) == _MIDDLE:
                images.append(capture.truth[nearest])
        yield capture.name, torch.cat(images, dim=-1)
    network.train(was_training)


def keep_picture(folder: Path, name: str, step: int, picture: Tensor) -> Path:
    """Write a picture to `folder`/`name`/step_%08d.png and return its path.

    Raises:
        InputError: no space left or no permission.
    """
    path = prepare_output_folder(folder / name) / f"step_{step:08d}.png"
    write_image(path, to_uint8(picture))
    return path
