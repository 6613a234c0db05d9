"""A study: the same training with several seeds, each in a folder of its own."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar, cast

from utils.errors import InputError
from utils.options.files import changed_options
from utils.options.interpolator_training import AnyTrainingOptions

SEED_FOLDER = "seed_"
"""Folders of a study are named `seed_0`, `seed_1`, ... within `path.root`/`task`."""

_LARGEST = 2**62 - 1
_MAY_DIFFER = (
    *("path.root", "device", "train.threads", "train.checkpoint_print", "train.checkpoint_save"),
    *("train.keep_last", "datasets.train.dataloader_num_workers"),
)
"""Options that change no weights."""

Options = TypeVar("Options", bound=AnyTrainingOptions)


def runs_of(
    options: Options, seeds: Sequence[int] | None, *, resume: str, overrides: Sequence[str]
) -> list[Options]:
    """The options of every run: one per seed, or `options` alone without seeds.

    The run of seed n goes to `path.root`/`task`/seed_n. "{seed}" in `path.pretrained_netG` stands
    for n, so that stage 2 of each seed can start from its own stage 1.

    Args:
        options: what all runs share.
        seeds: of `--seeds`; None for a single run.
        resume: of `--resume`; "auto" or "never" with seeds.
        overrides: of `--set`.

    Raises:
        InputError: a seed is out of range or named twice, also by `--set seed`, `--resume` names a
            checkpoint, or the folder holds another run or a study with other options.
    """
    if seeds is None:
        return [options]
    shown = " ".join(map(str, seeds))
    if min(seeds) < 0 or max(seeds) > _LARGEST:
        raise InputError(f"--seeds {shown}: expected 0 to {_LARGEST}")
    if len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds {shown}: expected different seeds")
    if any(text.startswith("seed=") for text in overrides):
        raise InputError(f"--seeds {shown}: names the seeds; leave out --set seed=...")
    if resume not in ("auto", "never"):
        raise InputError(f"--resume {resume}: expected auto or never with --seeds")
    folder = Path(options.path.root) / options.task
    if (folder / "options.json").exists() or (folder / "checkpoints").exists():
        raise InputError(
            f"{folder}: holds a run of a single seed; choose another task for the study"
        )
    for clash in _clashes(options, folder, seeds, restarted=resume == "never"):
        raise InputError(clash)
    return [_with_seed(options, seed) for seed in seeds]


def _with_seed(options: Options, seed: int) -> Options:
    """The options of one run of a study."""
    content = options.model_dump(mode="json")
    root, task = content["path"]["root"], content["task"]
    content |= {"seed": seed, "task": f"{SEED_FOLDER}{seed}"}
    content["path"]["root"] = str(Path(root) / task)
    start = content["path"].get("pretrained_netG")
    if start is not None:
        content["path"]["pretrained_netG"] = start.replace("{seed}", str(seed))
    return cast(Options, type(options).model_validate_json(json.dumps(content)))


def _clashes(
    options: Options, folder: Path, seeds: Sequence[int], *, restarted: bool
) -> Iterator[str]:
    """A line for every run in the folder whose recorded options are not those of the study.

    Runs of `seeds` may be trained further, or differ if they are restarted.
    """
    for record in sorted(folder.glob(f"{SEED_FOLDER}*/options.json")):
        match = re.fullmatch(rf"{SEED_FOLDER}(\d+)", record.parent.name)
        seed = -1 if match is None else int(match[1])
        if seed < 0 or (restarted and seed in seeds):
            continue
        may_differ = (*_MAY_DIFFER, *(["train.iterations"] if seed in seeds else []))
        try:
            kept = type(options).model_validate_json(record.read_bytes())
        except ValueError:
            yield f"{record}: not the options of a run of this version; choose another task"
            continue
        wanted = _with_seed(options, seed).model_dump(mode="json")
        differences = [
            line
            for line in changed_options(kept.model_dump(mode="json"), wanted)
            if line.partition(":")[0] not in may_differ
        ]
        if differences:
            yield (
                f"{record.parent}: was run with other options: {'; '.join(differences)}; choose "
                "another task, so that all seeds of a study share their options"
            )
