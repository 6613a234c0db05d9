"""The variants of `utils.tools.compare_objectives`, their scores, and the table and curves."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.capture import CapturePair
from data.files.folders import replacing
from models.inference.correction import Correction
from utils.errors import InputError
from utils.evaluation.evaluate import score_frames
from utils.evaluation.report import format_table
from utils.metrics import BAND, PROTOCOLS, mean_psnr
from utils.training.curves import plot_lines

START, SUPERVISED = "start", "supervised"

WIDE_PATCH = "[patch + 64]"
"""In a variant's changes: the comparison's crop with a border of 32 px for stage 2."""

INTERPOLATOR = "experiments/interpolator/interpolator.safetensors"
"""What `utils.tools.train_interpolator` writes by its recipes."""

_PWC = "pretrained/pwcnet.safetensors"
_PLUSPLUS = ("netG.net_type=selfdrsc_plusplus", "netG.width=1.0", "train.G_lossfn_type=1*Lap")
_SUPERVISED = ("train.objective=supervised", "train.G_lossfn_type=1*Charbonnier")

Scores = Mapping[str, NDArray[np.float64]]
"""Values (scenes, frames) of each of `utils.metrics.METRICS`."""


class Variant(NamedTuple):
    """One way to train.

    Attributes:
        title: its name in tables.
        changes: overrides of the option file.
        share: of the comparison's steps that it takes.
        after: the variant whose weights it starts from; None: untrained weights of its network.
        needs: a file without which it is left out.
    """

    title: str
    changes: tuple[str, ...] = ()
    share: float = 0.5
    after: str | None = START
    needs: str | None = None


VARIANTS = {
    SUPERVISED: Variant("supervised", _SUPERVISED, share=1.0),
    "stage1": Variant("stage 1", share=1.0),
    "stage1_half": Variant("stage 1, half the samples"),
    "stage2": Variant(
        "half stage 1, half stage 2",
        (
            "train.objective=distillation",
            "train.border=32",
            f"datasets.train.patch_size={WIDE_PATCH}",
        ),
        after="stage1_half",
    ),
    "sampling_released": Variant(
        "stage 1, half the samples, sampling `released`", ("train.sampling=released",)
    ),
    "times_continuous": Variant(
        "stage 1, half the samples, times `continuous`", ("datasets.train.times=continuous",)
    ),
    "pwc": Variant(
        "stage 1, half the samples, PWC-Net", (f"path.pretrained_rsg={_PWC}",), needs=_PWC
    ),
    "pwc_gradients": Variant(
        "stage 1, half the samples, PWC-Net with gradients",
        (f"path.pretrained_rsg={_PWC}", "train.flow_gradients=true"),
        needs=_PWC,
    ),
    "plusplus_flow": Variant(
        "SelfDRSC++, one stage, rebuilt by flow", _PLUSPLUS, share=1.0, after=None
    ),
    "plusplus_interpolation": Variant(
        "SelfDRSC++, one stage, rebuilt by interpolation",
        (*_PLUSPLUS, "train.rebuilding=interpolation"),
        share=1.0,
        after=None,
        needs=INTERPOLATOR,
    ),
    "plusplus_supervised": Variant(
        "SelfDRSC++, supervised", (*_PLUSPLUS, *_SUPERVISED), share=1.0, after=None
    ),
    "ifed": Variant(
        "IFED, nine frames, supervised",
        ("netG.net_type=ifed", "netG.num_frames=9", *_SUPERVISED),
        share=1.0,
        after=None,
    ),
}
"""The variants by the names of their folders; each comes later than the one it starts from."""


def choose_variants(
    names: Sequence[str] | None, interpolator: str | None = INTERPOLATOR
) -> list[str]:
    """These variants and those they start from, in order; by default all whose files exist.

    Args:
        names: of the variants; None for all.
        interpolator: the file that stands for `INTERPOLATOR`.

    Raises:
        InputError: a name is unknown, or the file of a named variant is missing.
    """
    needed = {name: v.needs for name, v in VARIANTS.items() if v.needs}
    if interpolator is not None:
        needed = {n: interpolator if f == INTERPOLATOR else f for n, f in needed.items()}
    missing = {name: file for name, file in needed.items() if not Path(file).is_file()}
    for name in names or ():
        if name not in VARIANTS:
            raise InputError(f"--variants {name}: unknown; expected any of {', '.join(VARIANTS)}")
        if name in missing:
            raise InputError(f"--variants {name}: needs {missing[name]}, which does not exist")
    wanted = set(VARIANTS if names is None else names)
    wanted |= {after for name in wanted if (after := VARIANTS[name].after)}
    return [name for name in VARIANTS if name in wanted and name not in missing]


def score(method: Correction, captures: Sequence[CapturePair]) -> Scores:
    """Make and score the frames of captures with the same number of true frames.

    Raises:
        InputError: the images are too small.
        ValueError: a capture has no true frames.
    """
    found = []
    for capture in captures:
        if capture.truth_times is None:
            raise ValueError(f"{capture.name}: no truth to score against")
        times = capture.truth_times.tolist()
        frames = method(capture.pair, times, scan_time=capture.scan_time).frames
        found.append([values for values, _ in score_frames(frames, capture, PROTOCOLS["full"])])
    return {
        name: np.asarray([[frame[name] for frame in scene] for scene in found])
        for name in found[0][0]
    }


def mean_over_scenes(values: NDArray[np.float64]) -> float:
    """Mean PSNR over the frames of each scene, then over scenes."""
    return mean_psnr(mean_psnr(frames) for frames in values)


def write_comparison(
    folder: Path, scores: Mapping[str, Scores], *, reference: str | None = None
) -> None:
    """Write `comparison.md` and `instants.png` into an existing folder.

    Args:
        folder: earlier files of these names are replaced.
        scores: by title, on the same scenes; as in `format_comparison`.
        reference: as in `format_comparison`.

    Raises:
        InputError: no space left or no permission.
    """
    with replacing(folder / "comparison.md") as temporary:
        text = format_comparison(scores, reference=reference)
        temporary.write_text(text + "\n", encoding="utf-8")
    _, start, *trained = scores
    first = scores[start]["psnr"]
    times = np.linspace(0, 1, first.shape[1]).tolist()
    gains = {title: (scores[title]["psnr"] - first).mean(0).tolist() for title in trained}
    lines = {title: list(zip(times, values, strict=True)) for title, values in gains.items()}
    plot_lines(lines, ("instant t", f"PSNR gain over the {start}, dB"), folder / "instants.png")


def format_comparison(scores: Mapping[str, Scores], *, reference: str | None = None) -> str:
    """A Markdown table of the scores.

    Args:
        scores: by title: first the baseline, then what training starts from. Gains over the start
            carry the standard error of their mean over the scenes.
        reference: title of the variant whose gain over the baseline counts as 100 %.
    """
    baseline, start, *_ = scores
    floor, first = mean_over_scenes(scores[baseline]["psnr"]), scores[start]
    whole = mean_over_scenes(scores[reference]["psnr"]) - floor if reference else 0.0
    rows = []
    for title, found in scores.items():
        gain = mean_over_scenes(found["psnr"]) - floor
        rows.append(
            [
                title,
                *(_format_frames(found, part) for part in np.s_[:, :1, -1:]),
                f"{mean_over_scenes(found['band_psnr']):.2f}",
                f"{mean_over_scenes(found['inner_psnr']):.2f}",
                f"{gain:+.2f}",
                f"{100 * gain / whole:.1f} %" if whole else "–",
                *(_format_gain(found[name], first[name]) for name in ("psnr", "band_psnr")),
            ]
        )
    header = ["", "all frames", "t = 0", "t = 1", f"band of {BAND} px", "inside"]
    header += [f"gain over {baseline}", "of the reference's gain", f"gain over {start}"]
    return format_table([*header, f"in the band over {start}"], rows)


def _format_frames(scores: Scores, frames: slice) -> str:
    """Mean PSNR and SSIM of some of the frames."""
    psnr_values, ssim_values = scores["psnr"][:, frames], scores["ssim"][:, frames]
    return f"{mean_over_scenes(psnr_values):.2f} / {ssim_values.mean():.4f}"


def _format_gain(values: NDArray[np.float64], floor: NDArray[np.float64]) -> str:
    """Mean gain over the scenes and, if there are several, its standard error."""
    gains = np.asarray([mean_psnr(a) - mean_psnr(b) for a, b in zip(values, floor, strict=True)])
    if len(gains) < 2 or not gains.any():
        return f"{gains.mean():+.2f}"
    return f"{gains.mean():+.2f} ± {gains.std(ddof=1) / math.sqrt(len(gains)):.2f}"
