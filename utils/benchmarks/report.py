"""Measure speed and memory and write docs/BENCHMARKS.md."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import torch

from data.files.folders import prepare_output_folder, replacing
from data.files.versions import find_versions
from models.parts.device import choose_device
from utils.benchmarks import correction, measuring, methods, training
from utils.benchmarks.measuring import Row, describe_machine

DOCS = Path(__file__).parents[2] / "docs"
LOOP, SCALING, MEMORY = "Time against the released loop", "Scaling", "Peak memory"
_ABOUT: dict[str, tuple[str, Sequence[str]]] = {
    LOOP: (
        "Ours / released, both at full width, taken in turns in one run. Released is "
        "`models/reference/`: readable code that composes the released loop. It takes a pass for "
        "each of seven inner instants, and a call of the flow network for each pair of frames; it "
        "keeps memory as the released code does, freed blocks going back to the system. The "
        "released files themselves were not run: the flow network within its steps is ours, not "
        "theirs.\n\n",
        ("ours / released", "bar"),
    ),
    SCALING: ("The full-size generator, without bars.\n\n", ("seconds",)),
    MEMORY: (
        "Of a process of its own, with everything that it imports.\n\n",
        ("ours", "released loop"),
    ),
}
"""What the report says of a table, and its columns."""


def main() -> None:
    """Read the command line, measure, write and print the report.

    Raises:
        InputError: the folder cannot be written, or `--gpu-only` finds no GPU.
    """
    parser = argparse.ArgumentParser(prog="python -m utils.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs, in about two minutes")
    parser.add_argument("--threads", type=int, help="of the CPU; 1 counts CPU time, not the clock")
    parser.add_argument("--gpu-only", action="store_true", help="print the table of the GPU only")
    parser.add_argument("--methods-only", action="store_true", help="print that table only")
    parser.add_argument("--output", type=Path, help="folder of the report, docs/ by default")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.gpu_only:
        choose_device("cuda")
        folder = arguments.output and prepare_output_folder(arguments.output)
        text, name = _measure_gpu(), "BENCHMARKS_GPU.md"
    elif arguments.methods_only:
        folder = arguments.output and prepare_output_folder(arguments.output)
        text = _format_table("Methods", methods.measure(quick=arguments.quick))
        text, name = f"{text}\n{describe_machine()}.\n", "BENCHMARKS_METHODS.md"
    else:
        folder = prepare_output_folder(arguments.output or DOCS)
        steps, step_memory = training.measure(quick=arguments.quick)
        tables = {
            LOOP: [*correction.measure(quick=arguments.quick), *steps],
            SCALING: correction.measure_scaling(quick=arguments.quick),
            MEMORY: [*correction.measure_memory(quick=arguments.quick), *step_memory],
        }
        text, name = format_report(tables), "BENCHMARKS.md"
        if torch.cuda.is_available():
            text += f"\n{_measure_gpu()}"
    if folder:
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def format_report(tables: Mapping[str, Sequence[Row]]) -> str:
    """Markdown of the machine, versions, and a table of each group of rows."""
    versions = find_versions()
    command = "python -m utils.benchmarks " + " ".join(sys.argv[1:])
    text = "\n".join(
        _format_table(title, rows, *_ABOUT.get(title, ())) for title, rows in tables.items()
    )
    rate, load = measuring.matrix_rate(torch.float32) / 1e9, os.getloadavg()[2]
    return f"""# Benchmarks

Written by `{command.strip()}` (`make bench`), {date.today().isoformat()}. {describe_machine()};
{rate:.0f} GFLOP/s in matrix products, load {load:.1f} (other work disturbs times).
Python {versions["python"]}, PyTorch {versions["torch"]}.
On one NVIDIA H200: [BENCHMARKS_GPU.md](BENCHMARKS_GPU.md).

{text}"""


def _measure_gpu() -> str:
    memory = torch.cuda.get_device_properties(0).total_memory / 1e9
    about = (
        f"One {torch.cuda.get_device_name(0)}, {memory:.0f} GB, CUDA {torch.version.cuda}, "
        f"cuDNN {torch.backends.cudnn.version()}. Pair and frames are in its memory; corrections "
        "in float32 use no TF32, training in float32 does unless stated otherwise (PyTorch's "
        "default).\n\n"
    )
    rows = [*correction.measure_on_gpu(), *training.measure_on_gpu()]
    return _format_table("On a GPU", rows, about)


def _format_table(
    title: str, rows: Sequence[Row], about: str = "", columns: Sequence[str] = ("measured", "bar")
) -> str:
    cells = len(columns) + 1
    head = f"| what | {' | '.join(columns)} |\n|{'---|' * cells}\n"
    return f"## {title}\n\n{about}{head}" + "".join(
        f"| {' | '.join(row[:cells])} |\n" for row in rows
    )
