"""Measure speed and memory and write docs/BENCHMARKS.md."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import torch

from utils import benchmark_inference, benchmark_training
from utils.benchmark_rows import Row, describe_machine
from utils.image_io import prepare_output_folder, replacing
from utils.versions import find_versions

REPORT = "BENCHMARKS.md"
DOCS = Path(__file__).parents[1] / "docs"


def main() -> None:
    """Read the command line, measure, write and print the report."""
    parser = argparse.ArgumentParser(prog="python -m utils.benchmark", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and once, in about a minute")
    parser.add_argument("--threads", type=int, help="1 counts CPU time, for a machine in use")
    parser.add_argument("--output", type=Path, default=DOCS, help="folder of the report")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    folder = prepare_output_folder(arguments.output)
    rows = {
        "Correction": benchmark_inference.measure(quick=arguments.quick),
        "Training": benchmark_training.measure(quick=arguments.quick),
        "Scaling": benchmark_inference.measure_scaling(folder, quick=arguments.quick),
    }
    text = format_report(rows)
    with replacing(folder / REPORT) as temporary:
        temporary.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def format_report(tables: Mapping[str, Sequence[Row]]) -> str:
    """Markdown of the machine, versions, and a table of each group of rows."""
    versions = find_versions()
    command = "python -m utils.benchmark " + " ".join(sys.argv[1:])
    parts = [
        "# Benchmarks\n",
        f"`{command.strip()}` (`make bench`), {date.today().isoformat()}.",
        f"{describe_machine()}.",
        f"Python {versions['python']}, PyTorch {versions['torch']}.\n",
        "Times drift: ratios are to the plain path (`tests/plain_generator.py`) in the same run,",
        "least times of runs in turn.\n",
    ]
    for title, rows in tables.items():
        parts += [f"## {title}\n", "| what | measured | bar |", "|---|---|---|"]
        parts += [f"| {row.what} | {row.measured} | {row.bar} |" for row in rows]
        parts.append("")
    parts.append(f"![Time against pixels, frames and batch]({benchmark_inference.SCALING_PLOT})")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
