"""The capture check before a correction, and the preparation of the views that follows from it."""

import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from data.capture import CapturePair
from data.video.streams import CaptureStream
from models.inference.unseen import Margins
from models.rig.alignment import Alignment, align, estimate_alignment
from models.rig.colours import ColourDifference, estimate_colours, match_colours
from models.rig.dark_borders import DarkBorders, fill_dark_borders, find_dark_borders
from models.rig.flicker import Flicker, measure_row_gains, remove_flicker
from models.rig.flicker_search import Light, measure_light
from models.rig.realignment import try_alignment
from models.rig.report import CaptureReport, check_capture
from utils.correction import compensates_misalignment
from utils.options.real import RealOptions
from utils.real.check_report import (
    MAX_MISALIGNMENT,
    colours_differ,
    cure_of,
    format_report,
    warnings,
)
from utils.system.console import repeat_warning

_CHECKED_PAIRS = 8  # of a clip, from its first on
_TRIED_COLOURS = 2
_FLICKER_STEP = 2  # every second of them is searched for flicker


class Preparation(NamedTuple):
    """What is done to the views before they are corrected; nothing by default.

    Attributes:
        alignment: misalignment of the cameras to undo.
        colours: difference of the views in colour to undo.
        borders: dark borders of t2b and of b2t to leave out.
        flicker: of the light, to remove from the rows of each pair.
    """

    alignment: Alignment | None = None
    colours: ColourDifference | None = None
    borders: tuple[DarkBorders, DarkBorders] | None = None
    flicker: Flicker | None = None

    def apply(self, pair: Tensor) -> Tensor:
        """The prepared views of a pair (2, 3, H, W) without flicker."""
        if self.borders is not None:
            pair = torch.stack([*map(fill_dark_borders, pair, self.borders)])
        if self.colours is not None:
            pair = match_colours(pair, self.colours)
        return pair if self.alignment is None else align(pair, self.alignment)

    def apply_to(self, capture: CapturePair) -> CapturePair:
        """A capture with prepared views."""
        pair, scan = capture.pair, capture.scan_time
        if self.flicker is not None:
            gains = measure_row_gains(pair, scan, self.flicker.frequency)
            pair = remove_flicker(pair, scan, gains)
        t2b, b2t = self.apply(pair)
        return replace(capture, t2b=t2b, b2t=b2t)

    def margins(self, *, is_transposed: bool) -> tuple[Margins, Margins]:
        """The borders of t2b and of b2t, with rows and columns exchanged if they are read so."""
        t2b, b2t = self.borders or (DarkBorders(), DarkBorders())
        if is_transposed:
            t2b, b2t = (DarkBorders(*part[2:], *part[:2]) for part in (t2b, b2t))
        return t2b, b2t

    def describe(self) -> dict[str, Any]:
        """Its figures by name, as JSON can hold them."""
        return {
            name: None if figures is None else figures._asdict()
            for name, figures in self._asdict().items()
            if name != "borders"
        } | {"borders": self.borders}


class Checked(NamedTuple):
    """Result of a check.

    Attributes:
        preparation: what is done to the views.
        warnings: what will impair the correction nevertheless.
    """

    preparation: Preparation = Preparation()
    warnings: tuple[str, ...] = ()

    @property
    def brief(self) -> str:
        """What to add to the line that says where the results are.

        That the views do not belong together, so that the results are worth nothing; else nothing.
        """
        first = next((text for text in self.warnings if cure_of(text) == "--offset"), None)
        if first is None:
            return ""
        brief = re.split("[:;] ", first)[0]
        if " " not in brief:  # a file, of which something is said
            brief = first.split("; ")[0]
        return f"; warning: {brief}"

    def preceded_by(self, warnings: Iterable[str]) -> "Checked":
        """With warnings that were found before the check."""
        return self._replace(warnings=(*warnings, *self.warnings))

    def describe(self) -> list[dict[str, str | None]]:
        """The warnings, each with its cure (`cure_of`), as JSON can hold them."""
        return [{"text": text, "cure": cure_of(text)} for text in self.warnings]


def check_single(capture: CapturePair, options: RealOptions) -> Checked:
    """Check a single capture, print the findings, and return them with the preparation asked for.

    Raises:
        InputError: the weights cannot be read.
    """
    flaws, captures, unevenness = _find_flaws([capture], capture.name, options, rate=None)
    if not _is_needed(options):
        return Checked(flaws)
    report = check_capture(captures[0].pair, capture.scan_time)
    report = report._replace(unevenness=unevenness)
    made = _decide(captures, report, report.alignment, report.colours, options, capture.name)
    return made._replace(preparation=_join(made.preparation, flaws))


def check_clip(stream: CaptureStream, options: RealOptions) -> Checked:
    """Check a clip by its first pairs, as `check_single` does.

    Raises:
        InputError: a pair or the weights cannot be read.
    """
    with closing(stream.pairs()) as all_pairs:
        captures = list(islice(all_pairs, _CHECKED_PAIRS))
    flaws, captures, unevenness = _find_flaws(captures, stream.name, options, rate=stream.fps)
    if not _is_needed(options):
        return Checked(flaws)
    report = _check_pairs(captures)._replace(unevenness=unevenness)
    pairs, scan = [capture.pair for capture in captures], captures[0].scan_time
    alignment, colours = report.alignment, report.colours
    if options.align or alignment.max_displacement(report.size) >= MAX_MISALIGNMENT:
        alignment = estimate_alignment(pairs, scan)
    if options.match_colour:
        colours = estimate_colours(pairs, scan)
    made = _decide(captures, report, alignment, colours, options, stream.name)
    return made._replace(preparation=_join(made.preparation, flaws))


def _find_flaws(
    captures: Sequence[CapturePair], name: str, options: RealOptions, *, rate: float | None
) -> tuple[Preparation, list[CapturePair], float]:
    """What removes flicker and dark borders; the captures without these; and `Light.unevenness`.

    Lines say what is removed. `rate` is that of the pairs, in 1/s.
    """
    light = _measure_light(captures, name, options, rate)
    if light.flicker is not None:
        captures = [Preparation(flicker=light.flicker).apply_to(capture) for capture in captures]
    borders = _find_borders(captures, name, options)
    if borders.borders is not None:
        captures = [borders.apply_to(capture) for capture in captures]
    return borders._replace(flicker=light.flicker), [*captures], light.unevenness


def _join(preparation: Preparation, flaws: Preparation) -> Preparation:
    return preparation._replace(borders=flaws.borders, flicker=flaws.flicker)


def _measure_light(
    captures: Sequence[CapturePair], name: str, options: RealOptions, rate: float | None
) -> Light:
    """The light on captures of one recording, with the flicker to remove; a line names it."""
    if not (options.deflicker or options.check):
        return Light()
    searched = captures[::_FLICKER_STEP]
    light = measure_light([capture.pair for capture in searched], captures[0].scan_time)
    flicker = light.flicker
    if flicker is not None and options.check:
        cycles = f"{flicker.frequency:.2f} cycles per readout"
        if rate is not None:
            ratio = options.timing.readout_ratio
            cycles += f" ({flicker.frequency / ratio * rate:.1f} Hz at --readout-ratio {ratio:g})"
        done = "is removed from" if options.deflicker else "stays in"
        sys.stdout.write(
            f"{name}: the light flickers by {100 * flicker.amplitude:.0f} % at {cycles}; this "
            f"{done} the views (deflicker)\n"
        )
    return light if options.deflicker else light._replace(flicker=None)


def _find_borders(captures: Sequence[CapturePair], name: str, options: RealOptions) -> Preparation:
    """What leaves out the dark borders that all captures have; a line says so."""
    widest: list[DarkBorders] = []
    for views in zip(*(capture.pair for capture in captures), strict=True):
        sides = zip(*map(find_dark_borders, views), strict=True)
        widest.append(DarkBorders(*map(min, sides)))
    t2b, b2t = widest
    if not any((*t2b, *b2t)):
        return Preparation()
    if options.check:
        names = [*zip(("t2b", "b2t"), widest, strict=True)]
        said = [
            f"{width} px at the {_side(side, options)} of {view}"
            for view, borders in names
            for side, width in borders._asdict().items()
            if width
        ]
        sys.stdout.write(f"{name}: dark borders are left out: {', '.join(said)}\n")
    return Preparation(borders=(t2b, b2t))


def _side(side: str, options: RealOptions) -> str:
    """A side of a view as the sensor stands."""
    if not options.timing.camera_timing().is_transposed:
        return side
    return {"top": "left", "left": "top", "bottom": "right", "right": "bottom"}[side]


def _decide(
    captures: Sequence[CapturePair],
    report: CaptureReport,
    alignment: Alignment,
    colours: ColourDifference,
    options: RealOptions,
    name: str,
) -> Checked:
    """Try the alignment if it may matter, print the report, and choose the preparation."""
    trial = None
    is_misaligned = alignment.max_displacement(report.size) >= MAX_MISALIGNMENT
    if alignment.strips and (options.align or is_misaligned):
        pairs, scan = [capture.pair for capture in captures], captures[0].scan_time
        compensates = compensates_misalignment(options)
        trial = try_alignment(pairs, alignment, scan, compensates=compensates)
    cures = {"--align": options.align, "--match-colour": options.match_colour}
    applied = [flag for flag, is_given in cures.items() if is_given]
    undone = [flag for flag in applied if flag != "--align" or (trial and trial.helps)]
    if colours_differ(report):
        matched = [match_colours(capture.pair, colours) for capture in captures[:_TRIED_COLOURS]]
        after = estimate_colours(matched, captures[0].scan_time)
        report = report._replace(colours_matched=after)
    if options.check:
        shown, tried = report, trial
        if options.timing.camera_timing().is_transposed:  # as the sensors stand
            shown, tried = report.transposed, trial and trial.transposed
        sys.stdout.write(f"{format_report(shown, name, applied=applied, trial=tried)}\n")
    left = [
        text
        for text in warnings(report, applied=applied, trial=trial)
        if not any(f"undone by {flag}" in text for flag in undone)
    ]
    for text in left:
        repeat_warning(f"{name}: {text}")
    return Checked(
        Preparation(
            alignment if "--align" in undone else None,
            colours if "--match-colour" in undone else None,
        ),
        tuple(left),
    )


def _is_needed(options: RealOptions) -> bool:
    return bool(options.check) or options.align or options.match_colour


def _check_pairs(captures: list[CapturePair]) -> CaptureReport:
    """The report of the first pair that shows the order of the views, else of the first pair."""
    first = None
    for capture, following in pairwise(captures):
        report = check_capture(capture.pair, capture.scan_time, next_pair=following.pair)
        if report.order is not None and report.order.verdict != "cannot be told":
            return report
        first = first or report
    return first or check_capture(captures[0].pair, captures[0].scan_time)
