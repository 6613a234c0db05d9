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
from utils.benchmarks import gpu as benchmark_gpu
from utils.benchmarks import inference as benchmark_inference
from utils.benchmarks import training as benchmark_training
from utils.benchmarks.rows import Row, describe_machine
from utils.options.command_line import run

REPORT, GPU_REPORT = "BENCHMARKS.md", "BENCHMARKS_GPU.md"
ON_A_GPU = "On a GPU"
DOCS = Path(__file__).parents[2] / "docs"


def main() -> None:
    """Read the command line, measure, write and print the report."""
    parser = argparse.ArgumentParser(prog="python -m utils.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and once, in about two minutes")
    parser.add_argument("--threads", type=int, help="1 counts CPU time, for a machine in use")
    parser.add_argument("--gpu-only", action="store_true", help="print the GPU's part alone")
    parser.add_argument("--output", type=Path, help="folder of the report, docs/ by default")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.gpu_only:
        _measure_gpu(arguments.output)
        return
    folder = prepare_output_folder(arguments.output or DOCS)
    rows = {
        "Correction": benchmark_inference.measure(quick=arguments.quick),
        "Training": benchmark_training.measure(quick=arguments.quick),
        "Scaling": benchmark_inference.measure_scaling(folder, quick=arguments.quick),
    }
    if torch.cuda.is_available():
        rows[ON_A_GPU] = benchmark_gpu.measure()
    _write(format_report(rows), folder / REPORT)


def _measure_gpu(output: Path | None) -> None:
    """Print what a GPU does, and write it into a folder if there is one.

    Raises:
        InputError: there is no GPU, or the folder cannot be written.
    """
    choose_device("cuda")
    folder = None if output is None else prepare_output_folder(output)
    text = "\n".join(_format_table(ON_A_GPU, benchmark_gpu.measure()))
    _write(text + "\n", None if folder is None else folder / GPU_REPORT)


def _write(text: str, path: Path | None) -> None:
    if path is not None:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def format_report(tables: Mapping[str, Sequence[Row]]) -> str:
    """Markdown of the machine, versions, and a table of each group of rows."""
    versions = find_versions()
    command = "python -m utils.benchmarks " + " ".join(sys.argv[1:])
    parts = [
        "# Benchmarks\n",
        f"`{command.strip()}` (`make bench`), {date.today().isoformat()}.",
        f"{describe_machine()}.",
        f"Python {versions['python']}, PyTorch {versions['torch']}.\n",
        "Times drift: ratios are to the reference (`models/reference/`) in the same run,",
        "least times of runs in turn. `docs/BENCHMARK_NOTES.md` says what the figures mean.\n",
    ]
    for title, rows in tables.items():
        parts += [*_format_table(title, rows), ""]
    parts.append(f"![Time against pixels, frames and batch]({benchmark_inference.SCALING_PLOT})")
    return "\n".join(parts) + "\n"


def _format_table(title: str, rows: Sequence[Row]) -> list[str]:
    """Lines of a titled table; what ran on a GPU names it."""
    about = [f"{benchmark_gpu.describe_gpu()}.\n"] if title == ON_A_GPU else []
    head = [f"## {title}\n", *about, "| what | measured | bar |", "|---|---|---|"]
    return [*head, *(f"| {row.what} | {row.measured} | {row.bar} |" for row in rows)]


if __name__ == "__main__":
    run(main)
