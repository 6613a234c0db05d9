"""Measure speed and memory and write docs/BENCHMARKS.md."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import torch

from data.files.folders import prepare_output_folder, replacing
from data.files.versions import find_versions
from models.parts.device import choose_device
from utils.benchmarks import correction, methods, training
from utils.benchmarks.measuring import Row, describe_machine

DOCS = Path(__file__).parents[2] / "docs"


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
        tables = {
            "Correction": correction.measure(quick=arguments.quick),
            "Methods": methods.measure(quick=arguments.quick),
            "Training": training.measure(quick=arguments.quick),
            "Scaling": correction.measure_scaling(folder, quick=arguments.quick),
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
    text = "\n".join(_format_table(title, rows) for title, rows in tables.items())
    return f"""# Benchmarks

`{command.strip()}` (`make bench`), {date.today().isoformat()}.
{describe_machine()}.
Python {versions["python"]}, PyTorch {versions["torch"]}.

Times drift: ratios are to the reference (`models/reference/`) in the same run,
least times of runs in turn. `docs/BENCHMARK_NOTES.md` says what the figures mean.

{text}
![Time against pixels, frames and batch]({correction.SCALING_PLOT})
"""


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


def _format_table(title: str, rows: Sequence[Row], about: str = "") -> str:
    lines = (f"| {row.what} | {row.measured} | {row.bar} |\n" for row in rows)
    return f"## {title}\n\n{about}| what | measured | bar |\n|---|---|---|\n" + "".join(lines)
