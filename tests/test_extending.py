"""The code of docs/EXTENDING.md, put into a copy of the repository as the page says, and run."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
TABLES = {  # the first words of a line that goes into a table, and where that is
    '"blend"': ("models/networks.py", "NETWORKS: "),
    '"Gradients"': ("models/losses/table.py", "TERMS: "),
    '"mae"': ("utils/metrics.py", "METRICS: "),
    '"flat"': ("data/layouts.py", "LAYOUTS: "),
}
FILES = {
    "A small network": "models/blend.py",
    "A loss term": "models/losses/gradients.py",
    "All captures": "data/flat.py",
}
MINIMAL = {
    "task": "extended",
    "path": {"pretrained_rsg": "dis", "root": "runs"},
    "datasets": {
        "train": {
            "dataset_type": "flat",
            "data_root": "captures",
            "patch_size": 32,
            "dataloader_batch_size": 2,
            "dataloader_num_workers": 0,
        },
        "valid": {"dataset_type": "flat", "data_root": "captures"},
    },
    "netG": {"net_type": "blend", "n_feats": 4},
    "train": {
        "objective": "cycle",
        "G_lossfn_type": "1*Charbonnier|0.5*Gradients|0.1*Variation",
        "iterations": 2,
        "checkpoint_print": 1,
    },
}
DRIVER = """
import runpy, sys
for words in {runs}:
    sys.argv = words
    runpy.run_path(words[0], run_name="__main__")
"""


def write_captures(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for split, size in (("train", 64), ("valid", 64), ("test", 64)):
        (folder / split).mkdir(parents=True)
        for name in ("a_0", "a_1"):
            image = cv2.resize(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), (size, size))
            for part in ("t2b", "b2t", *(f"gs_{frame}" for frame in range(3))):
                cv2.imwrite(str(folder / split / f"{name}_{part}.png"), image)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, extended as the page says."""
    copy = tmp_path_factory.mktemp("extended")
    for name in ("data", "models", "utils"):
        ignored = shutil.ignore_patterns("__pycache__", "samples")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for script in ROOT.glob("main_*.py"):
        shutil.copy(script, copy)
    page = (ROOT / "docs" / "EXTENDING.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 8
    for block in blocks:
        start = block.strip().split(":")[0]
        if start in TABLES:
            add_below(copy / TABLES[start][0], TABLES[start][1], block)
        elif block.startswith('"""'):
            title = next(title for title in FILES if block.startswith(f'"""{title}'))
            (copy / FILES[title]).write_text(block, encoding="utf-8")
        else:
            metrics = copy / "utils" / "metrics.py"
            text = metrics.read_text(encoding="utf-8")
            metrics.write_text(
                text.replace("\nMETRICS: ", f"\n{block}\n\nMETRICS: "), encoding="utf-8"
            )
    write_captures(copy / "captures")
    (copy / "train.json").write_text(json.dumps(MINIMAL))
    return copy


def add_below(file: Path, table: str, line: str) -> None:
    """Add a line to a table's end."""
    text = file.read_text(encoding="utf-8")
    begin = text.index(f"\n{table}")
    end = text.index("\n}", begin)
    file.write_text(text[:end] + "\n" + line.rstrip() + text[end:], encoding="utf-8")


def run(tree: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=tree, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_all_four_work_in_training_validation_and_test(tree: Path) -> None:
    weights = "path.pretrained_netG=runs/extended/generator.safetensors"
    test = {
        "task": "test",
        "path": {"root": "runs", "pretrained_netG": "runs/extended/generator.safetensors"},
        "protocols": ["full"],
        "datasets": {"test": {"dataset_type": "flat", "data_root": "captures"}},
    }
    (tree / "test.json").write_text(json.dumps(test))
    stage1 = ["main_train_stage1.py", "--opt", "train.json"]
    supervised = ["task=supervised", "train.objective=supervised"]
    stage2 = ["main_train_stage2.py", "--opt", "train.json", "--set", "task=stage2", weights]
    stage2 += ["train.objective=distillation", "train.border=16"]
    stage2 += ["datasets.train.patch_size=64"]
    runs = [
        stage1,
        [*stage1, "--set", *supervised],
        stage2,
        ["main_test.py", "--opt", "test.json"],
    ]
    said = run(tree, "-c", DRIVER.format(runs=runs))
    for task, terms in (
        ("extended", {"Gradients", "Charbonnier", "Variation"}),
        ("supervised", {"Gradients"}),
        ("stage2", {"Gradients", "TeacherGradients"}),
    ):
        lines = (tree / "runs" / task / "metrics.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        assert terms <= {key for record in records for key in record}
        assert any("valid_psnr" in record for record in records)
    assert "| MAE" in said and "PSNR / SSIM / MAE" in said
    folder = tree / "runs" / "test"
    with (folder / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 3 * 5  # captures, frames, methods
    assert all(float(row["mae"]) < 1 for row in rows if row["method"] == "t2b as it is")
    scores = json.loads((folder / "scores.json").read_text())
    assert "mae" in scores["protocols"]["full"]["generator"]["overall"]
    height = cv2.imread(str(folder / "plots" / "full_instants.png")).shape[0]
    assert height == 900  # three panels


@pytest.mark.slow
def test_a_term_of_ones_own_trains_alone_on_two_processes(tree: Path) -> None:
    changes = ["task=two", "train.G_lossfn_type=1*Gradients"]
    run(
        tree,
        *("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
        *("main_train_stage1.py", "--opt", "train.json", "--set", *changes),
    )
    assert (tree / "runs" / "two" / "generator.safetensors").exists()
