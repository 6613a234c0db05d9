"""Scores of several ways to make the same frames, side by side: a table and curves."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.capture import CapturePair
from data.files.folders import replacing
from data.files.images import to_uint8
from models.inference.correction import Correction
from utils.evaluation.report import format_table
from utils.evaluation.scores import score_frame
from utils.metrics import BAND, METRICS, mean_psnr
from utils.training.curves import plot_lines

Scores = Mapping[str, NDArray[np.float64]]
"""Values (scenes, frames) of each of `utils.metrics.METRICS`."""


def score(method: Correction, captures: Sequence[CapturePair]) -> Scores:
    """Make and score the frames of captures that all have as many true ones.

    Raises:
        InputError: the images are too small to have an inside.
        ValueError: a capture has no true frames.
    """
    found = []
    for capture in captures:
        if capture.truth is None or capture.truth_times is None:
            raise ValueError(f"{capture.name}: no truth to score against")
        times = capture.truth_times.tolist()
        frames = method(capture.pair, times, scan_time=capture.scan_time).frames
        pairs = zip(frames, capture.truth, strict=True)
        found.append([score_frame(to_uint8(frame), to_uint8(true))[0] for frame, true in pairs])
    return {
        name: np.asarray([[frame[name] for frame in scene] for scene in found]) for name in METRICS
    }


def save_scores(path: Path, scores: Scores) -> None:
    """Write scores as JSON.

    Raises:
        InputError: no space left or no permission.
    """
    content = {name: values.tolist() for name, values in scores.items()}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")


def load_scores(path: Path) -> Scores:
    """Read what `save_scores` wrote."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return {name: np.asarray(values) for name, values in content.items()}


def mean_figure(values: NDArray[np.float64]) -> float:
    """Mean over the frames of each capture, then over captures."""
    return mean_psnr(mean_psnr(frames) for frames in values)


def write_comparison(
    folder: Path,
    scores: Mapping[str, Scores],
    *,
    baseline: str,
    start: str,
    reference: str | None,
) -> None:
    """Write `comparison.md` and `instants.png` into an existing folder.

    Args:
        folder: earlier ones in it are replaced.
        scores: by the title that the table shows, on the same captures.
        baseline: title whose scores gains are measured from.
        start: title of what training starts from.
        reference: title whose gain counts as 100 %, if any.

    Raises:
        InputError: no space left or no permission.
    """
    text = format_comparison(scores, baseline=baseline, start=start, reference=reference)
    with replacing(folder / "comparison.md") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    first = scores[start]
    times = np.linspace(0, 1, first["psnr"].shape[1]).tolist()
    gains = {
        title: list(zip(times, (found["psnr"] - first["psnr"]).mean(0).tolist(), strict=True))
        for title, found in scores.items()
        if title not in (baseline, start)
    }
    plot_lines(gains, ("instant t", f"PSNR gain over the {start}, dB"), folder / "instants.png")


def format_comparison(
    scores: Mapping[str, Scores], *, baseline: str, start: str, reference: str | None
) -> str:
    """A Markdown table; arguments as of `write_comparison`.

    "of the reference's gain" is that over the baseline. Gains over the start carry the standard
    error of their mean over the captures.
    """
    header = ["", "all frames", "t = 0", "t = 1", f"band of {BAND} px", "inside"]
    header += [f"gain over {baseline}", "of the reference's gain", f"gain over {start}"]
    header += [f"in the band over {start}"]
    floor, first = scores[baseline], scores[start]
    whole = None if reference is None else _gain(scores[reference]["psnr"], floor["psnr"])
    rows = []
    for title, found in scores.items():
        gain = _gain(found["psnr"], floor["psnr"])
        rows.append(
            [
                title,
                _both(found["psnr"], found["ssim"]),
                _both(found["psnr"][:, :1], found["ssim"][:, :1]),
                _both(found["psnr"][:, -1:], found["ssim"][:, -1:]),
                f"{mean_figure(found['band_psnr']):.2f}",
                f"{mean_figure(found['inner_psnr']):.2f}",
                f"{gain:+.2f}",
                "–" if not whole else f"{100 * gain / whole:.1f} %",
                _with_error(found["psnr"], first["psnr"]),
                _with_error(found["band_psnr"], first["band_psnr"]),
            ]
        )
    return format_table(header, rows)


def _gain(values: NDArray[np.float64], floor: NDArray[np.float64]) -> float:
    return mean_figure(values) - mean_figure(floor)


def _both(psnr_values: NDArray[np.float64], ssim_values: NDArray[np.float64]) -> str:
    return f"{mean_figure(psnr_values):.2f} / {ssim_values.mean():.4f}"


def _with_error(values: NDArray[np.float64], floor: NDArray[np.float64]) -> str:
    """Mean gain and its standard error, from each capture's gain."""
    gains = np.asarray([mean_psnr(a) - mean_psnr(b) for a, b in zip(values, floor, strict=True)])
    if len(gains) < 2 or not gains.any():
        return f"{gains.mean():+.2f}"
    return f"{gains.mean():+.2f} ± {gains.std(ddof=1) / math.sqrt(len(gains)):.2f}"
