"""How smoothly frames follow each other in clips of consecutive pairs, and where two pairs meet.

Frames may each be close to the truth and the video still hitch: where two pairs meet, the last
frame of one and the first of the next show the same instant, differently.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from data.files.folders import prepare_output_folder, replacing
from data.files.images import Image
from utils.evaluation.plots import method_style
from utils.evaluation.scores import FrameScore, group_scores
from utils.metrics import mean_psnr, psnr

CLIPS_NOTE = (
    "Clips, PSNR in dB: of both frames at a joint, where two pairs meet; of the jump there, the "
    "difference of these frames, which show one instant (RMS of 255: 0 if one frame serves both); "
    "and of the change from frame to frame against the truth's, by the instant it leads to:"
)

_SAME_INSTANT = 40.0  # dB between the true frames where two pairs meet, if no time lies between
_MAX_CLIPS = 8  # in a plot
_PANEL = (12.0, 2.4)  # inches


class _End(NamedTuple):
    """The last frame of a pair, inside the border: its name, error and true frame."""

    name: str
    error: npt.NDArray[np.int16]
    truth: Image


class StepErrors:
    """Compares changes between neighbouring frames of clips with the truth's, pair after pair."""

    def __init__(self, followers: Mapping[str, str]) -> None:
        """Start before the first pair.

        Args:
            followers: of each pair the one that follows it without a gap (`find_followers`).
        """
        self._followers = followers
        self._ends: dict[tuple[str, str], _End] = {}

    def add(
        self,
        source: tuple[str, str],
        name: str,
        images: Sequence[Image],
        truth: Sequence[Image],
        *,
        border: int,
    ) -> list[float | None]:
        """Add the frames of a pair; a clip's pairs come in order.

        Args:
            source: what the frames are compared with those of: protocol and method.
            name: of the pair.
            images: (H, W, 3) uint8, in order of time from t = 0 to 1.
            truth: of the same number and sizes.
            border: pixels left out on each side, smaller than the images.

        Returns:
            For each frame, the PSNR in dB of the change that leads to it against the truth's
            change; infinite if they are equal. At the first frame this is the jump from the last
            frame of the pair before: None if none follows on to this one, or their true frames
            differ by more than 40 dB, so that time lies between them.
        """
        inner = np.s_[border : images[0].shape[0] - border, border : images[0].shape[1] - border]
        errors = [
            image[inner].astype(np.int16) - true[inner]
            for image, true in zip(images, truth, strict=True)
        ]
        before = self._ends.get(source)
        first = truth[0][inner]
        joined = (
            before is not None
            and self._followers.get(before.name) == name
            and before.truth.shape == first.shape
            and psnr(before.truth, first) >= _SAME_INSTANT
        )
        self._ends[source] = _End(name, errors[-1], truth[-1][inner].copy())
        jump = _difference(before.error, errors[0]) if joined and before is not None else None
        return [jump, *(_difference(*step) for step in pairwise(errors))]


class Smoothness(NamedTuple):
    """Smoothness of the clips of one protocol and method; PSNR in dB, infinite without error.

    Attributes:
        joints: number of places where two pairs meet.
        joint_psnr: mean over joints of both frames' PSNR against the truth.
        jump_psnr: mean over joints of the PSNR between both frames, where they differ.
        jump_rms: mean over joints of their root mean square difference, of 255.
        identical: joints at which both frames are equal.
        changes: PSNR of the change against the truth's, by the instant that it leads to (not 0).
        change_psnr: the same over all frames but the first ones of pairs.
    """

    joints: int
    joint_psnr: float
    jump_psnr: float
    jump_rms: float
    identical: int
    changes: Mapping[float, float]
    change_psnr: float

    def as_json(self) -> dict[str, Any]:
        """These values by name; a PSNR is None where there is no error at all."""
        values = self._asdict() | {
            "changes": [{"time": t, "psnr": _finite(value)} for t, value in self.changes.items()]
        }
        return {
            name: _finite(value) if isinstance(value, float) else value
            for name, value in values.items()
        }


def find_followers(names: Sequence[str], unconnected: frozenset[str] | set[str]) -> dict[str, str]:
    """The pair that follows each pair: the next index of its sequence.

    Args:
        names: of the pairs, "SEQUENCE/INDEX", in order.
        unconnected: sequences whose pairs do not follow each other
            (`data.dataset_writer.folder.read_unconnected`).
    """
    followers = {}
    for early, late in pairwise(names):
        (sequence, _, index), (other, _, following) = early.rpartition("/"), late.rpartition("/")
        if sequence != other or sequence in unconnected:
            continue
        if index.isdecimal() and following.isdecimal() and int(following) == int(index) + 1:
            followers[early] = late
    return followers


def find_joints(scores: Sequence[FrameScore]) -> list[tuple[FrameScore, FrameScore]]:
    """The last frame of a pair and the first of the next, where both are scored and meet.

    Args:
        scores: of one protocol and method, in order of sequences, pairs and frames.
    """
    return [
        (early, late)
        for early, late in pairwise(scores)
        if late.frame == 0 and late.change is not None and early.sequence == late.sequence
    ]


def summarise_clips(scores: Sequence[FrameScore]) -> Smoothness | None:
    """Summarise the smoothness of one protocol and method; None if no pairs meet.

    Args:
        scores: in order of sequences, pairs and frames.
    """
    joints = find_joints(scores)
    if not joints:
        return None
    jumps = [late.change for _, late in joints if late.change is not None]
    inside = group_scores((score for score in scores if score.frame), lambda score: score.time)
    changes = {
        time: [score.change for score in group if score.change is not None]
        for time, group in inside.items()
    }
    return Smoothness(
        joints=len(joints),
        joint_psnr=mean_psnr(mean_psnr(s.values["psnr"] for s in joint) for joint in joints),
        jump_psnr=mean_psnr(jumps),
        jump_rms=float(np.mean([255 * 10 ** (-jump / 20) for jump in jumps])),
        identical=sum(map(math.isinf, jumps)),
        changes={time: mean_psnr(values) for time, values in changes.items()},
        change_psnr=mean_psnr(value for values in changes.values() for value in values),
    )


def clip_table(
    methods: Mapping[str, Sequence[FrameScore]],
) -> tuple[list[str], list[list[str]]] | None:
    """Header and rows of a table, a row for each method; None if no pairs meet."""
    found = {name: summarise_clips(scores) for name, scores in methods.items()}
    known = {name: clips for name, clips in found.items() if clips is not None}
    if not known:
        return None
    first = next(iter(known.values()))
    changes = [f"change t {time:.3f}" for time in first.changes]
    header = ["method", f"joints ({first.joints})", "jump", "jump, RMS", *changes, "all changes"]
    rows = [
        [
            *(name, f"{clips.joint_psnr:.2f}", f"{clips.jump_psnr:.2f}", f"{clips.jump_rms:.2f}"),
            *(f"{value:.2f}" for value in (*clips.changes.values(), clips.change_psnr)),
        ]
        for name, clips in known.items()
    ]
    return header, rows


def plot_clips(folder: Path, scores: Sequence[FrameScore], place: str) -> dict[str, str]:
    """Plot PSNR over the continuous time of clips, a panel for each of the first eight.

    Args:
        folder: of the report.
        scores: of any protocols and methods, those of each in order.
        place: folder of the PNGs below `folder`.

    Returns:
        The files, relative to `folder`, by their titles; none if no pairs meet.

    Raises:
        InputError: no space left or no permission.
    """
    files = {}
    for protocol, mine in group_scores(scores, lambda score: score.protocol).items():
        methods = group_scores(mine, lambda score: score.method)
        clips = {method: split_clips(of_method) for method, of_method in methods.items()}
        shown = list(next(iter(clips.values())))[:_MAX_CLIPS]
        if shown:
            file = f"{place}/{protocol}_clips.png"
            prepare_output_folder(folder / place)
            _draw(clips, shown, folder / file)
            files[f"Protocol `{protocol}` over the time of clips"] = file
    return files


def split_clips(scores: Sequence[FrameScore]) -> dict[str, list[FrameScore]]:
    """Frames of each clip of at least two pairs, by the name of its first pair.

    Args:
        scores: of one protocol and method, in order of sequences, pairs and frames.
    """
    joined = {late.pair for _, late in find_joints(scores)}
    clips: dict[str, list[FrameScore]] = {}
    name = ""
    for pair, frames in group_scores(scores, lambda score: score.pair).items():
        name = name if pair in joined else pair
        clips.setdefault(name, []).extend(frames)
    return {name: clip for name, clip in clips.items() if clip[0].pair != clip[-1].pair}


def _draw(
    clips: Mapping[str, Mapping[str, Sequence[FrameScore]]], shown: Sequence[str], path: Path
) -> None:
    """Draw PSNR over time in readouts; joints are dotted, frames equal to their truth are gaps."""
    # Not at the top: it is slow to load, and nothing is drawn before all is scored.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_PANEL[0], _PANEL[1] * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), squeeze=False)[:, 0]
    for axes, name in zip(panels, shown, strict=True):
        for number, (method, found) in enumerate(clips.items()):
            pairs = list(group_scores(found[name], lambda score: score.pair))
            times = [pairs.index(score.pair) + score.time for score in found[name]]
            drawn = [score.values["psnr"] for score in found[name]]
            drawn = [value if math.isfinite(value) else math.nan for value in drawn]
            label = method if axes is panels[0] else None
            axes.plot(times, drawn, **method_style(number, is_joined=True), label=label)
            for joint in range(1, len(pairs)):
                axes.axvline(joint, color="gray", linewidth=0.5, linestyle=":")
        axes.set_title(name, fontsize="small")
        axes.set_ylabel("PSNR, dB")
        axes.grid(alpha=0.3)
    panels[-1].set_xlabel("time in readouts")
    figure.legend(loc="outside right upper", fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _difference(early: npt.NDArray[np.int16], late: npt.NDArray[np.int16]) -> float:
    """PSNR in dB of the difference of two errors."""
    error = cv2.norm(early, late, cv2.NORM_L2SQR) / early.size
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else value
