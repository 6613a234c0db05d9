import json
import math
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from utils.checkpoint import load_generator
from utils.errors import InputError
from utils.options.files import load_options
from utils.options.training import TrainingOptions
from utils.tools.compare_objectives import MEAN, WEIGHTS, Comparison
from utils.tools.parts.comparison import START, VARIANTS

FILE = "options/recipes/claim.json"
SCENE = {"height": 96, "width": 96, "camera_motion": 4, "object_motion": 4, "max_objects": 1}
TINY = [
    "path.pretrained_netG=null",
    "netG.n_feats=8",
    "netG.width=0.04",
    "datasets.valid.count=1",
    f"datasets.valid.scene={json.dumps(SCENE)}",
]

Run = Callable[..., SimpleNamespace]


def trainer(calls: list[list[str]], status: int = 0) -> Run:
    """Stands for a training script: keeps the weights that it starts from."""

    def train(words: Sequence[str], *, check: bool) -> SimpleNamespace:
        calls.append(list(words[1:]))
        options = load_options(FILE, words[words.index("--set") + 1 :], TrainingOptions)
        folder = Path(options.path.root) / options.task
        folder.mkdir(parents=True)
        if not status:
            shutil.copy(str(options.path.pretrained_netG), folder / WEIGHTS)
            (folder / "options.json").write_text(json.dumps(options.model_dump(mode="json")))
            (folder / "metrics.jsonl").write_text('{"step": 60, "valid_psnr": 21.5}\n')
        return SimpleNamespace(returncode=status)

    return train


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    found = Comparison(FILE, [f"path.root={tmp_path}", *TINY], scenes=1)
    found.prepare_start()
    return found


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_has_valid_options_and_its_share_of_the_steps(
    name: str, tmp_path: Path
) -> None:
    changes = Comparison(FILE, [f"path.root={tmp_path}"], scenes=1).overrides(name)
    variant = VARIANTS[name]
    options = load_options(FILE, changes, TrainingOptions)
    whole = load_options(FILE, [], TrainingOptions)
    assert options.train.iterations == variant.share * whole.train.iterations
    start = None if variant.after is None else f"{tmp_path}/{variant.after}/{WEIGHTS}"
    assert options.path.pretrained_netG == start
    assert options.seed == whole.seed
    assert "Flow" not in options.train.loss_weights  # exact flows would be further supervision
    inner = options.train.border if options.train.objective == "distillation" else 0
    assert tuple(side - 2 * inner for side in options.datasets.train.patch) == (192, 192)


def test_variants_are_trained_once_by_the_projects_scripts(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", trainer(calls))
    for name in ("stage1_half", "stage2", "stage2"):
        comparison.train(name)
    assert [words[0] for words in calls] == ["main_train_stage1.py", "main_train_stage2.py"]
    (first, start), *later = comparison.progress("stage2")
    assert first == 0 and 10 < start < 50
    assert later == [(60, 21.5), (120, 21.5)]


def test_scores_are_kept_and_of_other_scenes_than_validation(comparison: Comparison) -> None:
    mean = comparison.score(MEAN)
    assert mean["psnr"].shape == (1, 9)
    assert (mean["psnr"] != comparison.score(MEAN, validation=True)["psnr"]).all()
    (comparison.root / START / WEIGHTS).rename(comparison.root / "moved")
    assert (comparison.score(MEAN)["psnr"] == mean["psnr"]).all()
    with pytest.raises(InputError, match=WEIGHTS):
        comparison.score(START)


def test_scores_are_read_as_they_were_written(comparison: Comparison) -> None:
    written = comparison.score(MEAN)
    file = comparison.root / MEAN / "scores_unseen_1.json"
    content = json.loads(file.read_text())
    assert content == {name: values.tolist() for name, values in written.items()}
    content["psnr"][0][0] = math.inf
    file.write_text(json.dumps(content))
    read = comparison.score(MEAN)
    assert read["psnr"][0, 0] == math.inf
    assert (read["psnr"][0, 1:] == written["psnr"][0, 1:]).all()


def test_the_start_stays_as_it_was_first_written(comparison: Comparison) -> None:
    written = (comparison.root / START / WEIGHTS).read_bytes()
    comparison.prepare_start()
    assert (comparison.root / START / WEIGHTS).read_bytes() == written
    assert load_generator(comparison.root / START / WEIGHTS).n_feats == 8


def test_failed_training_is_an_error(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", trainer([], status=3))
    with pytest.raises(InputError, match="^stage1: training ended with exit status 3$"):
        comparison.train("stage1")


def test_results_of_other_options_are_not_mixed_in(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", trainer([]))
    comparison.train("stage1")
    changes = [f"path.root={comparison.root}", *TINY, "seed=2"]
    with pytest.raises(InputError, match=r"stage1: was made with other options \(seed\)"):
        Comparison(FILE, changes, scenes=1).train("stage1")
    with pytest.raises(InputError, match=r"start: was made with other options \(seed\)"):
        Comparison(FILE, changes, scenes=1).prepare_start()
