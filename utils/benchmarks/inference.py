"""Speed and memory of correction, as ratios to the reference network (`models.reference`)."""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from data import time_maps
from models.generator import Generator
from models.inference.correction import correct
from models.parts.precision import computes_bfloat16
from models.parts.settings import InferenceSettings, frame_instants
from models.reference.formula_weights import fill_by_formula
from models.reference.generator import plain_correct, plain_forward
from utils.benchmarks.peak_memory import PeakMethod, measure_peak
from utils.benchmarks.rows import Row, count_operations, least_times, matrix_rate

SCALING_PLOT = "benchmark_scaling.png"

_SIZE = (540, 960)
_PASSES = 7  # that the plain path makes for nine frames
_NINE = frame_instants(9)

Curves = Mapping[str, Sequence[tuple[float, float]]]
"""Points (amount, seconds) by what the amount counts."""


def measure(*, quick: bool = False) -> list[Row]:
    """Nine frames of a 960x540 pair at full width, in float32 and bfloat16, and peak memory."""
    generator = full_generator()
    pair = smooth_pair(_SIZE)
    rows = _measure_speed(generator, pair, rounds=1 if quick else 3)
    rows.append(Row("peak memory, 960x540, nine frames", _gigabytes("generator", _SIZE, None)))
    if not quick:
        large = (2160, 3840)
        methods: tuple[PeakMethod, ...] = ("generator", "bundled", "classical")
        rows += [
            Row(
                f"peak memory, 3840x2160, nine frames, tiles of 512, {method}",
                _gigabytes(method, large, 512),
                "<= 4 GB",
            )
            for method in methods
        ]
    return rows


def measure_scaling(folder: Path, *, quick: bool = False) -> list[Row]:
    """Time against pixels, frames and batch, drawn into `folder`."""
    rounds = 1 if quick else 2
    generator = full_generator()
    generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sides = (128, 256) if quick else (128, 256, 512, 768, 1024)
    counts = (3, 5) if quick else (3, 5, 9, 17)
    batches = (1, 2) if quick else (1, 2, 4)
    small = smooth_pair((256, 256))
    curves: Curves = {
        "pixels of one pass": [
            (side * side, _least(partial(_one_pass, generator, side), rounds)) for side in sides
        ],
        "frames of a 256x256 pair": [
            (count, _least(partial(correct, generator, small, frame_instants(count)), rounds))
            for count in counts
        ],
        "batch of 256x256 pairs": [
            (count, _least(partial(_one_pass, generator, 256, count), rounds)) for count in batches
        ],
    }
    _draw(curves, folder / SCALING_PLOT)
    return [
        Row(
            f"seconds against {name}",
            ", ".join(f"{amount:g}: {seconds:.2f}" for amount, seconds in points),
        )
        for name, points in curves.items()
    ]


def smooth_pair(size: tuple[int, int]) -> Tensor:
    """A random pair (2, 3, H, W) with detail of about 16 pixels."""
    source = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, size[0] // 16 + 1, size[1] // 16 + 1, generator=source)
    return torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)


def _measure_speed(generator: Generator, pair: Tensor, *, rounds: int) -> list[Row]:
    float32, bfloat16 = InferenceSettings(tile=None), InferenceSettings("bfloat16", tile=None)
    plain_generator = copy.deepcopy(generator)  # as PyTorch lays out weights; ours are moved
    plain, lean, low = least_times(
        [
            lambda: plain_correct(plain_generator, pair, 9),
            lambda: correct(generator, pair, _NINE, settings=float32),
            lambda: correct(generator, pair, _NINE, settings=bfloat16),
        ],
        rounds + 1,
    )
    expected = plain_correct(plain_generator, pair, 9)
    exact = correct(generator, pair, _NINE, settings=float32).frames
    rounded = correct(generator, pair, _NINE, settings=bfloat16).frames
    difference = float((exact - expected).abs().max())
    psnr = -10 * float(torch.log10((rounded - exact).square().mean()))
    operations, plain_operations = _count_operations(generator)
    pass_seconds, pass_operations = plain / _PASSES, plain_operations / 1e9
    rate, low_rate = matrix_rate(torch.float32), matrix_rate(torch.bfloat16)
    has = "" if computes_bfloat16(torch.device("cpu")) else " (emulated here)"
    return [
        Row("matrix product, float32", f"{rate / 1e9:.0f} GFLOP/s"),
        Row(f"matrix product, bfloat16{has}", f"{low_rate / 1e9:.0f} GFLOP/s"),
        Row("one plain pass, 960x544", f"{pass_seconds:.2f} s, {pass_operations:.0f} GFLOP"),
        Row("nine frames / 7 plain passes, float32", f"{lean / plain:.2f}", "<= 0.65"),
        Row("... largest difference from the plain path", f"{difference:.1e}", "<= 1e-4"),
        Row(
            "... operations / those of 7 plain passes",
            f"{operations / _PASSES / plain_operations:.2f}",
        ),
        Row("... rate / matrix product's", f"{operations / lean / rate:.2f}", ">= 0.75"),
        Row("nine frames / 7 plain passes, bfloat16", f"{low / plain:.2f}", "<= 0.40"),
        Row("... PSNR against float32", f"{psnr:.1f} dB", ">= 50 dB"),
    ]


def _count_operations(generator: Generator) -> tuple[float, float]:
    """Operations of nine frames, and of one plain pass, of a 960x544 pair."""
    pair, offsets = _inputs(544, 960)
    steps: list[Callable[[], object]] = [
        lambda: generator.encode(pair),
        lambda: generator.decode(generator.encode(pair), offsets),
        lambda: generator.decode(generator.encode(pair), offsets, [1]),
        plain_pass(),
    ]
    with torch.no_grad():
        encode, whole, middle, plain = map(count_operations, steps)
    return whole + (_PASSES - 1) * (middle - encode), plain


def _one_pass(generator: Generator, side: int, batch: int = 1) -> None:
    pair, offsets = _inputs(side, side)
    with torch.inference_mode():
        generator(pair.expand(batch, -1, -1, -1, -1), offsets.expand(batch, -1, -1, -1))


def full_generator() -> Generator:
    """The generator at full width, its weights by formula."""
    generator = Generator().eval()
    fill_by_formula(generator, 1, 1.0)
    return generator


def plain_pass() -> Callable[[], object]:
    """One pass of the plain path, at full width on a smooth 960x544 pair."""
    pair, offsets = _inputs(544, 960)
    return torch.no_grad()(partial(plain_forward, full_generator(), pair, offsets))


def _inputs(height: int, width: int) -> tuple[Tensor, Tensor]:
    maps = time_maps.offset_maps(
        time_maps.scan_time(height)[None], torch.tensor([[0.0, 0.375, 1.0]])
    )
    return smooth_pair((height, width))[None], maps.expand(-1, -1, -1, width)


def _least(work: Callable[[], object], rounds: int) -> float:
    return least_times([work], rounds)[0]


def _gigabytes(method: PeakMethod, size: tuple[int, int], tile: int | None) -> str:
    return f"{measure_peak(method, size, tile) / 1e9:.2f} GB"


def _draw(curves: Curves, path: Path) -> None:
    figure = Figure(figsize=(12, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, points) in zip(figure.subplots(1, len(curves)), curves.items(), strict=True):
        axes.plot(*zip(*points, strict=True), ".-")
        axes.set(xlabel=name, ylabel="seconds", xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
