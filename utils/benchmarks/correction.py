"""Speed and memory of correction, as ratios to the reference (`models.reference.generator`)."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from data.time_maps import offset_maps, scan_time
from models.generator import Generator
from models.inference.correction import correct
from models.parts.precision import autocast, computes_bfloat16
from models.parts.settings import InferenceSettings, Precision, frame_instants
from models.reference.formula_weights import fill_by_formula
from models.reference.generator import plain_correct, plain_forward
from models.refiner.cues import find_motion
from models.refiner.network import Refiner
from utils.benchmarks import measuring
from utils.benchmarks.measuring import Row, Work, smooth_pair
from utils.benchmarks.peak_memory import PeakMethod, measure_peak

SCALING_PLOT = "benchmark_scaling.png"
_SIZE = (540, 960)
_NINE = frame_instants(9)
_AT_4K: tuple[PeakMethod, ...] = ("generator", "bundled", "selfdrsc_plusplus", "classical")
_PLAIN_PASSES = 7  # of the reference for nine frames


def measure(*, quick: bool = False) -> list[Row]:
    """Nine frames of a 960x540 pair at full width, in float32 and bfloat16, and peak memory."""
    works = _nine_frames("cpu", "bfloat16")
    difference, psnr = _compare(*works)
    plain, ours, low = measuring.least_times(works, 1 if quick else 3)
    plain_operations, operations = (measuring.count_operations(work) for work in works[:2])
    rate, low_rate = measuring.matrix_rate(torch.float32), measuring.matrix_rate(torch.bfloat16)
    emulated = "" if computes_bfloat16(torch.device("cpu")) else " (emulated here)"
    one_pass = f"{plain / _PLAIN_PASSES:.2f} s, {plain_operations / _PLAIN_PASSES / 1e9:.0f} GFLOP"
    share = operations / plain_operations
    rows = [
        Row("matrix product, float32", f"{rate / 1e9:.0f} GFLOP/s"),
        Row(f"matrix product, bfloat16{emulated}", f"{low_rate / 1e9:.0f} GFLOP/s"),
        Row("one plain pass, 960x544", one_pass),
        Row("nine frames / 7 plain passes, float32", f"{ours / plain:.2f}", "<= 0.65"),
        Row("... largest difference from the plain path", difference, "<= 1e-4"),
        Row("... operations / those of 7 plain passes", f"{share:.2f}"),
        Row("... rate / matrix product's", f"{operations / ours / rate:.2f}", ">= 0.75"),
        Row("nine frames / 7 plain passes, bfloat16", f"{low / plain:.2f}", "<= 0.40"),
        Row("... PSNR against float32", psnr, ">= 50 dB"),
        Row("peak memory, 960x540, nine frames", _format_peak("generator", _SIZE, None)),
    ]
    for method in () if quick else _AT_4K:
        what = f"peak memory, 3840x2160, nine frames, tiles of 512, {method}"
        rows.append(Row(what, _format_peak(method, (2160, 3840), 512), "<= 4 GB"))
    return rows


def measure_on_gpu() -> list[Row]:
    """Nine frames of a 960x540 pair, by a generator and a refiner of full width."""
    works = _nine_frames("cuda", "auto")
    difference, psnr = _compare(*works)
    plain, ours, auto = (measuring.measure_gpu(work) for work in works)
    fastest = measuring.measure_gpu(works[2], benchmark=True)
    refiner, pair = Refiner().eval().cuda(), smooth_pair(_SIZE).cuda()
    maps = offset_maps(scan_time(_SIZE[0])[None], torch.tensor([_NINE]))
    settings = InferenceSettings("auto", tile=None)
    refined = measuring.measure_gpu(partial(correct, refiner, pair, _NINE, settings=settings))
    motion = measuring.measure_gpu(partial(find_motion, pair[None], maps))
    return [
        Row("nine frames, 7 plain passes, float32", plain.describe()),
        Row("nine frames, float32", ours.describe(plain)),
        Row("... largest difference from the plain path", difference, "<= 1e-4"),
        Row("nine frames, precision auto", auto.describe(plain), "<= 60 ms"),
        Row("... PSNR against the plain path", psnr, ">= 50 dB"),
        Row("... with the fastest of cuDNN's algorithms", fastest.describe(plain)),
        Row("nine frames, refiner (width 1.0), precision auto", refined.describe()),
        Row("... of which classical motion, on the CPU", f"{motion.milliseconds:.0f} ms"),
    ]


def measure_scaling(folder: Path, *, quick: bool = False) -> list[Row]:
    """Time against pixels, frames and batch, drawn into `folder`."""
    generator, small = full_generator(), smooth_pair((256, 256))
    generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sides = (128, 256) if quick else (128, 256, 512, 768, 1024)
    counts = (3, 5) if quick else (3, 5, 9, 17)
    batches = (1, 2) if quick else (1, 2, 4)
    series: dict[str, dict[int, Work]] = {
        "pixels of one pass": {side**2: _one_pass(generator, side) for side in sides},
        "frames of a 256x256 pair": {
            count: partial(correct, generator, small, frame_instants(count)) for count in counts
        },
        "batch of 256x256 pairs": {count: _one_pass(generator, 256, count) for count in batches},
    }
    rows = []
    figure = Figure(figsize=(12, 3.5), layout="constrained")
    for axes, (name, works) in zip(figure.subplots(1, len(series)), series.items(), strict=True):
        seconds = [measuring.least_times([work], 1 if quick else 2)[0] for work in works.values()]
        axes.plot(list(works), seconds, ".-")
        axes.set(xlabel=name, ylabel="seconds", xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
        points = (f"{amount:g}: {time:.2f}" for amount, time in zip(works, seconds, strict=True))
        rows.append(Row(f"seconds against {name}", ", ".join(points)))
    figure.savefig(folder / SCALING_PLOT, dpi=100)
    return rows


def _format_peak(method: PeakMethod, size: tuple[int, int], tile: int | None) -> str:
    return f"{measure_peak(method, size, tile) / 1e9:.2f} GB"


def plain_pass() -> Work:
    """One pass of the reference, at full width on a smooth 960x544 pair."""
    return torch.no_grad()(partial(plain_forward, full_generator(), *_inputs(544, 960)))


def full_generator() -> Generator:
    """The generator at full width, its weights by formula."""
    generator = Generator().eval()
    fill_by_formula(generator, 1, 1.0)
    return generator


def _nine_frames(device: str, lower: Precision) -> tuple[Callable[[], Tensor], ...]:
    """Nine frames by the reference, by the generator in float32, and in lower precision."""
    generator, pair = full_generator().to(device), smooth_pair(_SIZE).to(device)
    plain_generator = copy.deepcopy(generator)
    generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def correct_plainly() -> Tensor:
        with autocast("float32", pair.device):
            return plain_correct(plain_generator, pair, 9)

    settings = InferenceSettings(tile=None), InferenceSettings(lower, tile=None)
    ours = [partial(correct, generator, pair, _NINE, settings=each) for each in settings]
    return correct_plainly, *(lambda work=work: work().frames for work in ours)


def _compare(plain: Callable[[], Tensor], *ours: Callable[[], Tensor]) -> tuple[str, str]:
    """Largest difference of the float32 frames from the reference's, PSNR of the lower ones."""
    expected, exact, rounded = plain(), *(work() for work in ours)
    psnr = -10 * float(torch.log10((rounded - expected).square().mean()))
    return f"{float((exact - expected).abs().max()):.1e}", f"{psnr:.1f} dB"


def _one_pass(generator: Generator, side: int, batch: int = 1) -> Work:
    inputs = (part.expand(batch, *part.shape[1:]) for part in _inputs(side, side))
    return torch.inference_mode()(partial(generator, *inputs))


def _inputs(height: int, width: int) -> tuple[Tensor, Tensor]:
    maps = offset_maps(scan_time(height)[None], torch.tensor([[0.0, 0.375, 1.0]]))
    return smooth_pair((height, width))[None], maps.expand(-1, -1, -1, width)
