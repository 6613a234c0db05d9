"""The capture check before a correction, and the preparation of the views that follows from it."""

import sys
from contextlib import closing
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any, NamedTuple

from torch import Tensor

from data.capture import CapturePair
from data.video.streams import CaptureStream
from models.rig.alignment import Alignment, align, estimate_alignment
from models.rig.colours import ColourDifference, estimate_colours, match_colours
from models.rig.report import CaptureReport, check_capture
from utils.options.real import RealOptions
from utils.real.check_report import format_report

_CHECKED_PAIRS = 8  # of a clip, from its first on


class Preparation(NamedTuple):
    """What is done to the views before they are corrected; nothing by default.

    Attributes:
        alignment: misalignment of the cameras to undo.
        colours: difference of the views in colour to undo.
    """

    alignment: Alignment | None = None
    colours: ColourDifference | None = None

    def apply(self, pair: Tensor) -> Tensor:
        """The prepared views of a pair (2, 3, H, W)."""
        if self.colours is not None:
            pair = match_colours(pair, self.colours)
        return pair if self.alignment is None else align(pair, self.alignment)

    def apply_to(self, capture: CapturePair) -> CapturePair:
        """A capture with prepared views."""
        t2b, b2t = self.apply(capture.pair)
        return replace(capture, t2b=t2b, b2t=b2t)

    def describe(self) -> dict[str, Any]:
        """Its figures by name, as JSON can hold them."""
        return {
            name: None if figures is None else figures._asdict()
            for name, figures in self._asdict().items()
        }


def check_single(capture: CapturePair, options: RealOptions) -> Preparation:
    """Check a single capture, print the findings, and return the preparation asked for."""
    if not _is_needed(options):
        return Preparation()
    report = check_capture(capture.pair, capture.scan_time)
    _print_report(report, capture.name, options)
    return Preparation(
        report.alignment if options.align else None,
        report.colours if options.match_colour else None,
    )


def check_clip(stream: CaptureStream, options: RealOptions) -> Preparation:
    """Check a clip by its first pairs, print the findings, and return the preparation asked for.

    Raises:
        InputError: a pair cannot be read.
    """
    if not _is_needed(options):
        return Preparation()
    with closing(stream.pairs()) as all_pairs:
        captures = list(islice(all_pairs, _CHECKED_PAIRS))
    if options.check:
        _print_report(_check_pairs(captures), stream.name, options)
    pairs, scan = [capture.pair for capture in captures], captures[0].scan_time
    return Preparation(
        estimate_alignment(pairs, scan) if options.align else None,
        estimate_colours(pairs, scan) if options.match_colour else None,
    )


def _is_needed(options: RealOptions) -> bool:
    return bool(options.check) or options.align or options.match_colour


def _print_report(report: CaptureReport, name: str, options: RealOptions) -> None:
    if not options.check:
        return
    cures = {"--align": options.align, "--match-colour": options.match_colour}
    applied = [flag for flag, is_given in cures.items() if is_given]
    if options.timing.camera_timing().is_transposed:
        report = report.transposed  # as the sensors stand
    sys.stdout.write(f"{format_report(report, name, applied=applied)}\n")


def _check_pairs(captures: list[CapturePair]) -> CaptureReport:
    """The report of the first pair that shows the order of the views, else of the first pair."""
    first = None
    for capture, following in pairwise(captures):
        report = check_capture(capture.pair, capture.scan_time, next_pair=following.pair)
        if report.order is not None and report.order.verdict != "cannot be told":
            return report
        first = first or report
    return first or check_capture(captures[0].pair, captures[0].scan_time)
