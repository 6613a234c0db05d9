"""Compare training objectives on equal terms: `python -m utils.tools.compare_objectives`.

Every variant starts from the same weights and sees the same number of samples of one simulated
training set (half as many where the table says so). All are scored on scenes that none was trained
on. Finished variants are kept, so the same command resumes a comparison. The variants are in
`utils.tools.parts.comparison`; the option file sets the scale; `path.root` receives the table, the
curves and a folder for each variant.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from data.capture import CapturePair
from data.files.folders import prepare_output_folder
from models.architecture import load_network
from models.arrays import BUNDLED_WEIGHTS
from models.inference.correction import BASELINES, correct
from utils.checkpoint import save_weights
from utils.errors import InputError
from utils.options.command_line import parse_arguments, run
from utils.options.files import load_options
from utils.options.training import TrainingOptions
from utils.system.random_state import seed_everything
from utils.tools.parts.comparison import (
    START,
    SUPERVISED,
    VARIANTS,
    WIDE_PATCH,
    Scores,
    choose_variants,
    mean_over_scenes,
    score,
    write_comparison,
)
from utils.training.correction_network import build_network
from utils.training.curves import plot_lines
from utils.training.data import build_validation_set
from utils.training.experiment import write_json
from utils.training.reporting import read_records

WEIGHTS = "generator.safetensors"
MEAN, CLASSICAL, BUNDLED = "mean", "classical", "bundled"
UNTRAINED = {CLASSICAL: "classical, no training", BUNDLED: "the bundled refiner, trained elsewhere"}
"""Methods that are scored beside the variants, and their titles."""

_OPTIONS = "options.json"
_TEST_SEED = 2_000_000  # of the test scenes; the validation scenes start at 1,000,000


def main() -> None:
    """Read the command line, train and score what is missing, write table and curves."""
    arguments = parse_arguments(
        str(__doc__), extra=_add_arguments, default_options="options/recipes/claim.json"
    )
    if arguments.scenes < 1:
        raise InputError(f"--scenes {arguments.scenes}: expected at least 1")
    comparison = Comparison(arguments.opt, arguments.set, arguments.scenes)
    names = choose_variants(arguments.variants, comparison.interpolator)
    comparison.score(MEAN)  # shows before hours of training whether the scenes can be scored
    comparison.prepare_start()
    for name in names:
        comparison.train(name)
    titles = {MEAN: "mean of both inputs", START: "start"}
    titles |= {name: VARIANTS[name].title for name in names} | UNTRAINED
    scores = {title: comparison.score(name) for name, title in titles.items()}
    write_comparison(comparison.root, scores, reference=titles.get(SUPERVISED))
    plot_lines(
        {VARIANTS[name].title: comparison.progress(name) for name in names},
        ("step", "PSNR on the validation scenes, dB"),
        comparison.root / "training.png",
    )
    sys.stdout.write(f"table and curves are in {comparison.root}\n")


class Comparison:
    """One comparison: its option file, and the folder `root` of its results."""

    def __init__(self, file: str, changes: Sequence[str], scenes: int) -> None:
        """Read the options.

        Args:
            file: the option file.
            changes: overrides of it, for all variants.
            scenes: number of test scenes.

        Raises:
            InputError: the file cannot be read, or a key or value is wrong.
        """
        self._file, self._changes, self._scenes = file, changes, scenes
        self._options = self._load()
        self._captures: dict[bool, list[CapturePair]] = {}
        self.root = Path(self._options.path.root)
        self.interpolator = self._options.path.pretrained_interpolator

    def prepare_start(self) -> None:
        """Write the weights that all variants start from, unless they exist.

        Raises:
            InputError: the folder cannot be written or belongs to another comparison, or
                `path.pretrained_netG` does not fit.
        """
        folder = prepare_output_folder(self.root / START)
        if not _is_finished(folder, self._options):
            seed_everything(self._options.seed)
            network = build_network(self._options)
            write_json(folder / _OPTIONS, self._options.model_dump(mode="json"))
            save_weights(folder / WEIGHTS, network)

    def overrides(self, name: str) -> list[str]:
        """Everything that turns the option file into that of a variant."""
        variant = VARIANTS[name]
        start = "null" if variant.after is None else self.root / variant.after / WEIGHTS
        wide = str([side + 64 for side in self._options.datasets.train.patch])
        steps = round(self._options.train.iterations * variant.share)
        return [
            *self._changes,
            f"task={name}",
            f"path.pretrained_netG={start}",
            f"train.iterations={steps}",
            f"train.G_scheduler_periods={steps}",
            *(change.replace(WIDE_PATCH, wide) for change in variant.changes),
        ]

    def train(self, name: str) -> None:
        """Train a variant to the end, unless it is finished.

        Raises:
            InputError: an option is wrong, the training failed, or the folder holds a variant that
                was trained with other options.
        """
        changes = self.overrides(name)
        options = load_options(self._file, changes, TrainingOptions)
        if _is_finished(self.root / name, options):
            return
        stage = 2 if options.train.objective == "distillation" else 1
        words = [f"main_train_stage{stage}.py", "--opt", self._file, "--set", *changes]
        sys.stdout.write(f"python {' '.join(words)}\n")
        sys.stdout.flush()
        status = subprocess.run([sys.executable, *words], check=False).returncode
        if status:
            raise InputError(f"{name}: training ended with exit status {status}")

    def score(self, name: str, *, validation: bool = False) -> Scores:
        """Scores of a variant, of `START`, of `MEAN` or of `UNTRAINED`; kept in a file.

        Args:
            name: folder of what to score.
            validation: score on the validation scenes instead of the test scenes.

        Raises:
            InputError: weights are missing or damaged, or the scores cannot be written.
        """
        scenes = "validation" if validation else f"unseen_{self._scenes}"
        path = prepare_output_folder(self.root / name) / f"scores_{scenes}.json"
        if not path.exists():
            method = BASELINES["classical" if name == CLASSICAL else "mean of both"]
            if name not in (MEAN, CLASSICAL):
                weights = BUNDLED_WEIGHTS if name == BUNDLED else self.root / name / WEIGHTS
                method = partial(correct, load_network(weights))
            if self._options.train.threads is not None:
                torch.set_num_threads(self._options.train.threads)
            found = score(method, self._simulate(validation))
            write_json(path, {metric: values.tolist() for metric, values in found.items()})
        content = json.loads(path.read_text(encoding="utf-8"))
        return {metric: np.asarray(values) for metric, values in content.items()}

    def progress(self, name: str) -> list[tuple[float, float]]:
        """(step, validation PSNR) of a variant, after those of the variant it starts from."""
        if name == START:
            return [(0, mean_over_scenes(self.score(START, validation=True)["psnr"]))]
        after = VARIANTS[name].after
        points = [] if after is None else self.progress(after)
        first = points[-1][0] if points else 0
        records = read_records(self.root / name / "metrics.jsonl")
        return points + [
            (first + record["step"], record["valid_psnr"])
            for record in records
            if "valid_psnr" in record
        ]

    def _load(self, *changes: str) -> TrainingOptions:
        return load_options(self._file, [*self._changes, *changes], TrainingOptions)

    def _simulate(self, validation: bool) -> Sequence[CapturePair]:
        """The validation scenes or the test scenes, simulated once."""
        if validation not in self._captures:
            test = (f"datasets.valid.count={self._scenes}", f"datasets.valid.seed={_TEST_SEED}")
            found = build_validation_set(self._load(*(() if validation else test)))
            if found is None:
                raise InputError(
                    f"{self._file}: missing key 'datasets.valid', the scenes to score on"
                )
            self._captures[validation] = [found[index] for index in range(len(found))]
        return self._captures[validation]


def _is_finished(folder: Path, options: TrainingOptions) -> bool:
    """Whether a folder holds final weights.

    Raises:
        InputError: it does, trained with other options.
    """
    if not (folder / WEIGHTS).exists():
        return False
    file = folder / _OPTIONS
    trained = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    wanted = options.model_dump(mode="json")
    groups = [name for name in wanted if trained.get(name) != wanted[name]]
    if groups:
        raise InputError(
            f"{folder}: was made with other options ({', '.join(groups)}); choose another "
            "path.root, or remove the folder"
        )
    return True


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scenes", type=int, default=12, help="number of test scenes")
    parser.add_argument(
        "--variants", nargs="+", metavar="NAME", help="only these and the variants they start from"
    )


if __name__ == "__main__":
    run(main)
