"""Weight files of a run: of its end, of chosen steps, and of the averaged weights beside both."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.files.folders import prepare_output_folder
from utils.training.step import Training

Write = Callable[[Path, Any], None]
"""(path, network) writes its weights."""


def keep_weights(training: Training, write: Write) -> None:
    """Keep the weights of every `keep_weights_every`-th step."""
    every, step = training.experiment.options.train.keep_weights_every, training.progress.step
    if every is not None and step % every == 0:
        folder = prepare_output_folder(training.experiment.folder / "weights")
        write_weights(training, write, folder / f"step_{step:08d}.safetensors")


def write_weights(training: Training, write: Write, path: Path) -> None:
    """Write the weights to `path` and, if there is one, their average to `NAME_average` beside."""
    write(path, training.network)
    if training.average is not None:
        write(file_of_average(path), training.average.module)


def file_of_average(path: Path) -> Path:
    """The file of the averaged weights that belongs to a file of weights."""
    return path.with_name(f"{path.stem}_average{path.suffix}")
