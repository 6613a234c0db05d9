"""Compare what training minimises, on equal terms: `python -m utils.tools.compare_objectives`.

Every variant starts from the same weights and sees the same number of samples of one simulated
training set (half of them where the table says so); each is then scored on scenes that no training
saw. Finished variants are kept: the same command goes on where it was stopped. The variants are in
`utils.tools.comparison_variants`, the option file sets the scale, and `path.root` holds the
results: a table, curves, a folder per variant.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from data.capture import CapturePair
from data.files.folders import prepare_output_folder
from models.architecture import load_network
from models.inference.correction import BASELINES, correct
from utils.checkpoint import save_weights
from utils.errors import InputError
from utils.options.command_line import parse_arguments, run
from utils.options.files import load_options
from utils.options.training import TrainingOptions
from utils.system.random_state import seed_everything
from utils.tools.comparison import (
    Scores,
    load_scores,
    mean_figure,
    save_scores,
    score,
    write_comparison,
)
from utils.tools.comparison_variants import START, SUPERVISED, VARIANTS, Variant, choose_variants
from utils.training.curves import plot_lines
from utils.training.data import build_validation_set
from utils.training.experiment import write_json
from utils.training.generator import build_network
from utils.training.reporting import read_records

WEIGHTS = "generator.safetensors"
MEAN = "mean"

_OPTIONS = "options.json"
_TEST_SEED = 2_000_000  # of the scenes that are scored; validation starts at 1,000,000


def main() -> None:
    """Read the command line, train and score what is missing, write table and curves."""
    arguments = parse_arguments(
        str(__doc__), extra=_add_arguments, default_options="options/recipes/claim.json"
    )
    if arguments.scenes < 1:
        raise InputError(f"--scenes {arguments.scenes}: expected at least 1")
    comparison = Comparison(arguments.opt, tuple(arguments.set), arguments.scenes)
    variants = choose_variants(arguments.variants)
    comparison.score(MEAN)  # tells before hours of training whether the scenes can be scored
    comparison.prepare_start()
    for variant in variants:
        comparison.train(variant)
    titles = {MEAN: "mean of both inputs", START: "start"}
    titles |= {variant.name: variant.title for variant in variants}
    scores = {name: comparison.score(name) for name in titles}
    write_comparison(
        comparison.root,
        {titles[name]: found for name, found in scores.items()},
        baseline=titles[MEAN],
        start=titles[START],
        reference=titles.get(SUPERVISED),
    )
    plot_lines(
        {variant.title: comparison.progress(variant.name) for variant in variants},
        ("step", "PSNR on the validation scenes, dB"),
        comparison.root / "training.png",
    )
    sys.stdout.write(f"table and curves are in {comparison.root}\n")


class Comparison:
    """One comparison: its option file, and where its results are.

    Attributes:
        root: the folder of the results.
    """

    def __init__(self, file: str, changes: Sequence[str], scenes: int) -> None:
        """Read the options.

        Args:
            file: the option file.
            changes: overrides of it, for all variants.
            scenes: how many to score on.

        Raises:
            InputError: the file cannot be read, or a key or value is wrong.
        """
        self._file = file
        self._changes = tuple(changes)
        self._options = load_options(file, changes, TrainingOptions)
        self._scenes = scenes
        self._simulated: dict[bool, list[CapturePair]] = {}
        self.root = Path(self._options.path.root)

    def prepare_start(self) -> None:
        """Write the weights that all variants start from, unless that was done.

        Raises:
            InputError: the folder cannot be written or is another comparison's, or weights to start
                from do not fit.
        """
        folder = prepare_output_folder(self.root / START)
        if (folder / WEIGHTS).exists():
            _expect_options(folder, self._options)
            return
        seed_everything(self._options.seed)
        generator = build_network(self._options)
        write_json(folder / _OPTIONS, self._options.model_dump(mode="json"))
        save_weights(folder / WEIGHTS, generator)

    def overrides(self, variant: Variant) -> list[str]:
        """What changes the option file into a variant."""
        steps = round(self._options.train.iterations * variant.share)
        return [
            *self._changes,
            f"task={variant.name}",
            f"path.pretrained_netG={self.root / variant.after / WEIGHTS}",
            f"train.iterations={steps}",
            f"train.G_scheduler_periods={steps}",
            *variant.changes,
        ]

    def train(self, variant: Variant) -> None:
        """Train a variant to the end, unless that was done.

        Raises:
            InputError: an option is wrong, the training failed, or what is there was trained with
                other options.
        """
        changes = self.overrides(variant)
        options = load_options(self._file, changes, TrainingOptions)
        folder = self.root / variant.name
        if (folder / WEIGHTS).exists():
            _expect_options(folder, options)
            return
        words = [variant.script, "--opt", self._file, "--set", *changes]
        sys.stdout.write(f"python {' '.join(words)}\n")
        sys.stdout.flush()
        status = subprocess.run([sys.executable, *words], check=False).returncode
        if status:
            raise InputError(f"{variant.name}: training ended with exit status {status}")

    def score(self, name: str, *, validation: bool = False) -> Scores:
        """Scores of a variant, of the start, or of the inputs' mean.

        Args:
            name: folder of the variant, `START` or `MEAN`.
            validation: on the validation scenes instead of those that no training saw.

        Raises:
            InputError: weights are missing or damaged, or the scores cannot be written.
        """
        scenes = "validation" if validation else f"unseen_{self._scenes}"
        path = prepare_output_folder(self.root / name) / f"scores_{scenes}.json"
        if path.exists():
            return load_scores(path)
        method = BASELINES["mean of both"]
        if name != MEAN:
            method = partial(correct, load_network(self.root / name / WEIGHTS))
        if self._options.train.threads is not None:
            torch.set_num_threads(self._options.train.threads)
        scores = score(method, self._captures(validation))
        save_scores(path, scores)
        return scores

    def progress(self, name: str) -> list[tuple[float, float]]:
        """(step, validation PSNR) of a variant, behind those of what it goes on from."""
        if name == START:
            return [(0, mean_figure(self.score(START, validation=True)["psnr"]))]
        after = next(variant.after for variant in VARIANTS if variant.name == name)
        points = self.progress(after)
        records = read_records(self.root / name / "metrics.jsonl")
        return points + [
            (points[-1][0] + record["step"], record["valid_psnr"])
            for record in records
            if "valid_psnr" in record
        ]

    def _captures(self, validation: bool) -> Sequence[CapturePair]:
        """The scenes to score on; simulated once."""
        if validation in self._simulated:
            return self._simulated[validation]
        changes = [f"datasets.valid.count={self._scenes}", f"datasets.valid.seed={_TEST_SEED}"]
        changes = [*self._changes, *([] if validation else changes)]
        found = build_validation_set(load_options(self._file, changes, TrainingOptions))
        if found is None:
            raise InputError(f"{self._file}: missing key 'datasets.valid', the scenes to score on")
        self._simulated[validation] = [found[index] for index in range(len(found))]
        return self._simulated[validation]


def _expect_options(folder: Path, options: TrainingOptions) -> None:
    """Check that what is finished had the options that are asked for now."""
    file = folder / _OPTIONS
    trained = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    wanted = options.model_dump(mode="json")
    groups = [name for name in wanted if trained.get(name) != wanted[name]]
    if groups:
        raise InputError(
            f"{folder}: was made with other options ({', '.join(groups)}); choose another "
            "path.root, or remove the folder"
        )


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scenes", type=int, default=12, help="unseen scenes to score on")
    parser.add_argument(
        "--variants", nargs="+", metavar="NAME", help="only these, and what they go on from"
    )


if __name__ == "__main__":
    run(main)
