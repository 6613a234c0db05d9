"""Speed and memory of correction, beside the released loop (`models.reference.generator`)."""

import copy
import os
import timeit
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from data.time_maps import offset_maps, scan_time
from models.generator import Generator
from models.inference.correction import correct, correct_classically
from models.parts.precision import autocast, computes_bfloat16
from models.parts.settings import InferenceSettings, Precision, frame_instants
from models.reference.formula_weights import fill_by_formula
from models.reference.generator import plain_correct
from models.refiner.cues import find_motion
from models.refiner.network import Refiner
from utils.benchmarks import measuring
from utils.benchmarks.measuring import Row, Work, smooth_pair
from utils.benchmarks.peak_memory import PeakMethod, build, measure_peak

_SIZE, _SQUARE = (540, 960), (640, 640)
_NINE = frame_instants(9)
_AT_4K: tuple[PeakMethod, ...] = ("generator", "bundled", "selfdrsc_plusplus", "classical")


def measure(*, quick: bool = False) -> list[Row]:
    """Nine frames at full width, by the bundled network and classically; ratios to the loop."""
    rounds, pair = 1 if quick else 3, smooth_pair(_SIZE)
    works = _nine_frames("cpu", "bfloat16", _SIZE)
    whole = InferenceSettings(tile=None)
    bundled = partial(correct, build("bundled"), pair, _NINE, settings=whole)
    classical = partial(correct_classically, pair, _NINE)
    loop, *seconds = measuring.least_times([*works, bundled, classical], rounds)
    ours, low, *others = (f"{each / loop:.2f}" for each in seconds)
    emulated = "" if computes_bfloat16(torch.device("cpu")) else " (emulated here)"
    rows = [
        Row("nine frames, 960x540, float32", ours, "<= 0.60"),
        Row(f"nine frames, 960x540, bfloat16{emulated}", low, "<= 0.40"),
        Row("nine frames, 960x540, bundled network", others[0]),
        Row("nine frames, 960x540, classical", others[1]),
    ]
    if quick:
        return rows
    square = measuring.least_times(_nine_frames("cpu", "bfloat16", _SQUARE)[:2], rounds)
    share = measuring.count_operations(works[1]) / measuring.count_operations(works[0])
    difference, psnr = _compare(*works)
    return [
        *rows,
        Row("nine frames, 640x640, float32", f"{square[1] / square[0]:.2f}", "<= 0.60"),
        Row("operations of nine frames, 960x540", f"{share:.2f}"),
        Row("largest difference of a frame in float32, of [0, 1]", difference, "<= 1e-4"),
        Row("PSNR of bfloat16 against float32", psnr, ">= 50 dB"),
    ]


def measure_memory(*, quick: bool = False) -> list[Row]:
    """Peak memory of nine frames, each in a process of its own."""
    loop = f"{measure_peak('released', _SIZE, None) / 1e9:.2f} GB"
    rows = [Row("nine frames, 960x540", _format_peak("generator", _SIZE, None), loop)]
    for method in () if quick else _AT_4K:
        what = f"nine frames, 3840x2160, tiles of 512, {method} (bar: 4 GB)"
        rows.append(Row(what, _format_peak(method, (2160, 3840), 512)))
    return rows


def measure_on_gpu() -> list[Row]:
    """Nine frames of a 960x540 pair, by a generator and a refiner of full width."""
    works = _nine_frames("cuda", "auto", _SIZE)
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
        Row("... of which classical motion", f"{motion.milliseconds:.0f} ms"),
    ]


def measure_scaling(*, quick: bool = False) -> list[Row]:
    """Time against pixels, frames, batch and cores."""
    generator, small = full_generator(), smooth_pair((256, 256))
    generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sides = (128, 256, 512) if quick else (128, 256, 512, 768, 1024)
    counts = (3, 5, 9) if quick else (3, 5, 9, 17)
    series: dict[str, dict[int, Work]] = {
        "pixels of one pass": {side**2: _one_pass(generator, side) for side in sides},
        "frames of a 256x256 pair": {
            count: partial(correct, generator, small, frame_instants(count)) for count in counts
        },
        "batch of 256x256 pairs": {count: _one_pass(generator, 256, count) for count in (1, 2, 4)},
    }
    rounds = 1 if quick else 2
    rows = []
    for name, works in series.items():
        seconds = [measuring.least_times([work], rounds)[0] for work in works.values()]
        rows.append(_series(name, dict(zip(works, seconds, strict=True))))
    threads = torch.get_num_threads()
    by_cores, work = {}, _one_pass(generator, 512)
    for count in [2**power for power in range((os.cpu_count() or 1).bit_length())]:
        torch.set_num_threads(count)
        by_cores[count] = min(timeit.repeat(work, number=1, repeat=3 * rounds))
    torch.set_num_threads(threads)
    return [*rows, _series("cores, of the clock, one pass of 512x512", by_cores)]


def _series(name: str, seconds: Mapping[int, float]) -> Row:
    points = (f"{amount:,}: {time:.2f}" for amount, time in seconds.items())
    return Row(name, "; ".join(points))


def _format_peak(method: PeakMethod, size: tuple[int, int], tile: int | None) -> str:
    return f"{measure_peak(method, size, tile) / 1e9:.2f} GB"


def full_generator() -> Generator:
    """The generator at full width, its weights by formula."""
    generator = Generator().eval()
    fill_by_formula(generator, 1, 1.0)
    return generator


def _nine_frames(
    device: str, lower: Precision, size: tuple[int, int]
) -> tuple[Callable[[], Tensor], ...]:
    """Nine frames by the reference, by the generator in float32, and in lower precision."""
    generator, pair = full_generator().to(device), smooth_pair(size).to(device)
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
