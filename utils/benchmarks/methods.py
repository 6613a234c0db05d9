"""Every network and the classical correction: parameters, time of nine frames, memory."""

from functools import partial
from typing import get_args

import torch

from models.inference.correction import BASELINES, Correction, correct
from models.parts.network import CorrectionNetwork
from models.parts.settings import InferenceSettings, frame_instants
from utils.benchmarks import measuring
from utils.benchmarks.measuring import Row, smooth_pair
from utils.benchmarks.peak_memory import PeakMethod, build, measure_peak

_SIZE = (540, 960)
_NINE = frame_instants(9)
_FIRST: PeakMethod = "generator"


def measure(*, quick: bool = False) -> list[Row]:
    """Nine frames of a 960x540 pair by each method, in one run, and memory in processes of its own.

    Times are least times of runs in turn, as ratios to the generator's.
    """
    methods: tuple[PeakMethod, ...] = get_args(PeakMethod)
    pair = smooth_pair(_SIZE)
    networks: dict[PeakMethod, CorrectionNetwork] = {
        method: build(method) for method in methods if method != "classical"
    }
    whole = InferenceSettings(tile=None)
    works: dict[PeakMethod, Correction] = {"classical": BASELINES["classical"]}
    works |= {name: partial(correct, net, settings=whole) for name, net in networks.items()}
    with torch.inference_mode():
        calls = [partial(works[method], pair, _NINE) for method in methods]
        seconds = measuring.least_times(calls, 1 if quick else 3)
    first = seconds[methods.index(_FIRST)]
    rows = []
    for method, time in zip(methods, seconds, strict=True):
        network = networks.get(method)
        count = 0 if network is None else sum(weight.numel() for weight in network.parameters())
        shown = [f"{count:,} parameters"] if count else ["no parameters"]
        shown += [f"{time:.2f} s, {time / first:.2f} of {_FIRST}'s"]
        if not quick:
            shown.append(f"{measure_peak(method, _SIZE, None) / 1e9:.2f} GB")
        rows.append(Row(f"nine frames of 960x540, {method}", ", ".join(shown)))
    return rows
