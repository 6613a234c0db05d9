"""Measure speed and memory and write docs/BENCHMARKS.md."""

from utils.options.command_line import run

if __name__ == "__main__":  # not in the processes that measurements start: they import only theirs
    from utils.benchmarks.report import main

    run(main)
