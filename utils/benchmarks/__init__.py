"""Speed and memory: `python -m utils.benchmarks`."""
