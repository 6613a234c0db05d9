"""Text of the capture check: the measured figures, then warnings that name a cure."""

import math
from collections.abc import Collection, Iterator

from models.rig.alignment import Alignment
from models.rig.colours import ColourDifference
from models.rig.readout_order import ReadoutOrder
from models.rig.realignment import AlignmentTrial
from models.rig.report import CaptureReport

MAX_MISALIGNMENT = 1.0
"""Displacement in px of the worst corner, from which on it is a misalignment."""

_MIN_MATCHED = 0.4  # share of the pixels
_MAX_BLUR, _MAX_BLUR_RATIO, _MIN_BLUR_DIFFERENCE = 2.5, 1.6, 0.6  # px, -, px
_MAX_COLOUR_DIFFERENCE = 0.03  # relative, at mid-grey
_MAX_UNEVENNESS = 0.06  # relative
_MAX_COLOUR_LEFT = 0.5  # of the difference, after it is undone; else undoing it does not help
_MAX_SPREAD = 1.5  # px
_OTHER_CAUSES = "likely causes, in this order: a flash, image stabilisation in a camera, flicker"
_MIN_DISPLACEMENT = 0.5  # px
_MIN_PACE, _CERTAIN_AGREEMENT = 0.7, 0.9
_SLIP_TOLERANCE, _MIN_SLIP = 0.25, 3.0  # relative to the motion to the next capture; px
_CHANNELS = ("red", "green", "blue")
_CURES = {
    "; swap them": "swap",
    "; pass --align": "--align",
    "; pass --match-colour": "--match-colour",
    "(--offset)": "--offset",
    "; give --offset": "--offset",
}
"""What `cure_of` gives, by the words of a warning."""
_SHARED_ROWS = "the rows that both views expose at the same time"


def format_report(
    report: CaptureReport,
    name: str,
    *,
    applied: Collection[str] = (),
    trial: AlignmentTrial | None = None,
) -> str:
    """Format the figures, as far as the views match, and the warnings, one per line.

    Args:
        report: of the capture.
        name: of the capture.
        applied: those of the cures "--align" and "--match-colour" that are asked for.
        trial: of the alignment; None if it was not tried.
    """
    height, width = report.size
    t2b, b2t = ("no edges" if blur is None else f"{blur:.1f} px" for blur in report.blur)
    median, fast = report.speed
    figures = {
        "size": f"{width}x{height}",
        "sharpness": f"edge blur: t2b {t2b}, b2t {b2t}",
        "matches": f"{_percent(report.matched)} of the pixels are found in the other view",
    }
    if _is_comparable(report):
        differences = zip(_CHANNELS, report.colours.at_grey, strict=True)
        colours = ", ".join(f"{channel} {100 * value:+.1f} %" for channel, value in differences)
        figures |= {
            "colours": f"b2t relative to t2b at mid-grey: {colours}",
            "cameras": _describe_alignment(report.alignment),
            "motion": f"median {median:.1f}, 95th percentile {fast:.1f} px per frame interval",
            "order": _describe_order(report.order),
        }
        if trial is not None:
            figures["alignment"] = _describe_trial(trial, report.size, applied)
    lines = [f"{name}: capture check"]
    lines += [f"  {label:<10} {text}" for label, text in figures.items()]
    lines += [f"  warning: {text}" for text in warnings(report, applied=applied, trial=trial)]
    return "\n".join(lines)


def cure_of(warning: str) -> str | None:
    """What a warning says to do where a program can do it: an option, or "swap" the views."""
    return next((cure for words, cure in _CURES.items() if words in warning), None)


def warnings(
    report: CaptureReport, *, applied: Collection[str] = (), trial: AlignmentTrial | None = None
) -> list[str]:
    """What will impair the correction: each with the measured figure and a cure; often none."""
    if report.orientation != "upright":
        return [
            f"b2t is {report.orientation} relative to t2b: undo that in the input (a vertical flip "
            "also reverses the readout direction)"
        ]
    if not _is_comparable(report):
        return [
            f"only {_percent(report.matched)} of the pixels are found in the other view: do both "
            "show the same moment of the same scene? check which files belong together (--offset)"
        ]
    if report.blur == (None, None):
        return ["the views show no edges: there is nothing to measure and nothing to correct"]
    return [
        *_warn_of_order(report.order),
        *_warn_of_rest(report),
        *_warn_of_misalignment(report, applied, trial),
        *_warn_of_light(report),
        *_warn_of_colours(report, applied),
        *_warn_of_blur(report),
    ]


def _warn_of_order(order: ReadoutOrder | None) -> Iterator[str]:
    if order is None:
        return
    if order.verdict == "swapped":
        yield (
            "the views seem swapped: motion within the capture opposes the motion to the next one "
            f"(agreement {order.agreement:+.2f}); swap them"
        )
    elif order.verdict == "same direction":
        yield (
            "both views seem to have the same readout direction: the views differ by "
            f"{order.within:.1f} px, but the motion to the next capture predicts "
            f"{order.expected:.1f} px; set one camera to the opposite readout direction"
        )
    elif order.agreement > _CERTAIN_AGREEMENT and order.motion_ratio < _MIN_PACE:
        yield (
            f"motion within the capture is {_percent(order.motion_ratio)} of what the motion to "
            "the next one predicts: the readout seems shorter than stated; see --readout-ratio"
        )


def _warn_of_rest(report: CaptureReport) -> Iterator[str]:
    if report.order is not None and report.order.verdict == "same direction":
        return
    if report.displacement < _MIN_DISPLACEMENT:
        yield (
            f"nothing moves: 99 % of the image is displaced by at most {report.displacement:.1f} "
            "px; there is nothing to correct (or both views have the same readout direction)"
        )


def _warn_of_misalignment(
    report: CaptureReport, applied: Collection[str], trial: AlignmentTrial | None
) -> Iterator[str]:
    alignment, order = report.alignment, report.order
    if not alignment.strips:
        yield f"cannot measure camera alignment: too little texture in {_SHARED_ROWS}"
        return
    corner = alignment.max_displacement(report.size)
    is_slip = order is not None and _is_slip(alignment, order)
    compensated = trial is not None and trial.after is None and not is_slip
    if corner >= MAX_MISALIGNMENT and not compensated:
        cure = _cure("--align", applied)
        if trial is not None and not trial.helps:
            cure = f"--align does not help, as measured after it; {_OTHER_CAUSES}, the rig itself"
        if is_slip:
            cure = (
                "the scene moves about as far in one frame interval: compare other frames "
                "(--offset)"
            )
        yield (
            f"the cameras are misaligned: in {_SHARED_ROWS}, b2t is {_describe_offset(alignment)} "
            f"({corner:.1f} px at the worst corner); {cure}"
        )
    if alignment.spread >= _MAX_SPREAD:
        yield (
            f"parallax differs by {alignment.spread:.1f} px between near and far objects in "
            f"{_SHARED_ROWS}: no alignment removes it; bring the lenses closer together"
        )


def colours_differ(report: CaptureReport) -> bool:
    """Whether the views match, and their colours differ by enough for a warning."""
    return _is_comparable(report) and _worst_colour(report.colours)[1] >= _MAX_COLOUR_DIFFERENCE


def _warn_of_light(report: CaptureReport) -> Iterator[str]:
    if report.unevenness >= _MAX_UNEVENNESS:
        yield (
            f"the light changes during the readout: brightness differs by "
            f"{_percent(report.unevenness)} (RMS over the rows) at points that both views show, "
            "and not periodically; a flash, a lamp that is switched, or a shadow: leave these "
            "captures out"
        )


def _warn_of_colours(report: CaptureReport, applied: Collection[str]) -> Iterator[str]:
    if not colours_differ(report):
        return
    channel, difference = _worst_colour(report.colours)
    cure = _cure("--match-colour", applied)
    after = report.colours_matched
    if report.unevenness >= _MAX_UNEVENNESS:
        cure = "--match-colour does not help: brightness differs from row to row, too"
    elif after is not None and _worst_colour(after)[1] > _MAX_COLOUR_LEFT * difference:
        left = _percent(_worst_colour(after)[1])
        cure = f"--match-colour does not help ({left} when measured after it); {_OTHER_CAUSES}"
    yield f"colours differ by {_percent(difference)} in {channel} at mid-grey; {cure}"


def _worst_colour(colours: ColourDifference) -> tuple[str, float]:
    """The channel that differs most at mid-grey, and by how much."""
    differences = [abs(value) for value in colours.at_grey]
    worst = max(differences)
    return _CHANNELS[differences.index(worst)], worst


def _cure(flag: str, applied: Collection[str]) -> str:
    return f"undone by {flag}" if flag in applied else f"pass {flag}"


def _warn_of_blur(report: CaptureReport) -> Iterator[str]:
    t2b, b2t = report.blur
    if t2b is None or b2t is None:
        return
    sharper, softer = sorted((t2b, b2t))
    name = "t2b" if t2b > b2t else "b2t"
    if softer > max(_MAX_BLUR_RATIO * sharper, sharper + _MIN_BLUR_DIFFERENCE):
        yield (
            f"{name} is less sharp: its edge blur is {softer:.1f} px, that of the other view "
            f"{sharper:.1f} px; focus both cameras and give them the same exposure time"
        )
    elif softer > _MAX_BLUR:
        yield (
            f"the edge blur is {softer:.1f} px and frames will be as soft: focus the cameras, or "
            "shorten the exposure"
        )


def _describe_alignment(alignment: Alignment) -> str:
    if not alignment.strips:
        return f"alignment unknown: too little texture in {_SHARED_ROWS}"
    residual = f"residual {alignment.spread:.1f} px"
    offset = _describe_offset(alignment)
    return f"{f'b2t is {offset}' if offset else f'aligned in {_SHARED_ROWS}'}; {residual}"


def _describe_trial(trial: AlignmentTrial, size: tuple[int, int], applied: Collection[str]) -> str:
    is_asked = "--align" in applied
    if trial.after is None:
        what = "--align is left out" if is_asked else "nothing to do"
        return f"{what}: the method compensates this by itself, and resampling would blur"
    before, after = (part.max_displacement(size) for part in (trial.before, trial.after))
    done = "is undone" if is_asked and trial.helps else "is kept, not undone"
    if not is_asked:
        done = f"would {'' if trial.helps else 'not '}be undone"
    return (
        f"{done} by --align: {before:.1f} px at the worst corner before, {after:.1f} px "
        f"after; residual {trial.before.spread:.1f} and {trial.after.spread:.1f} px"
    )


def _describe_order(order: ReadoutOrder | None) -> str:
    if order is None:
        return "unknown from a single capture: swapped views look like time running backwards"
    return (
        f"{order.verdict}: agreement {order.agreement:+.2f} with the motion to the next capture, "
        f"{order.within:.1f} of {order.expected:.1f} px expected"
    )


def _describe_offset(alignment: Alignment) -> str:
    """Such as "6.6 px left and 5.7 px down of t2b, 0.47 % smaller"; empty if aligned."""
    x, y = alignment.shift
    turn, zoom = math.degrees(alignment.angle), 100 * (alignment.zoom - 1)
    shifts = [
        f"{abs(value):.1f} px {names[value < 0]}"
        for value, names in ((x, ("right", "left")), (y, ("down", "up")))
        if abs(value) >= 0.05
    ]
    parts = [" and ".join(shifts) + " of t2b"] if shifts else []
    if abs(turn) >= 0.005:
        way = "clockwise" if turn > 0 else "anticlockwise"
        parts.append(f"turned by {abs(turn):.2f} degrees {way}")
    if abs(zoom) >= 0.005:
        parts.append(f"{abs(zoom):.2f} % {'larger' if zoom > 0 else 'smaller'}")
    return ", ".join(parts)


def _is_slip(alignment: Alignment, order: ReadoutOrder) -> bool:
    """Whether the views are shifted by the motion of one frame interval."""
    x, y = alignment.shift
    (right, down), (next_right, next_down) = order.motion_to_next
    # If b2t is one frame late, its middle rows show what those of the next t2b do; early: reversed.
    late = math.hypot(x - right, y - down), math.hypot(right, down)
    early = math.hypot(x + next_right, y + next_down), math.hypot(next_right, next_down)
    return any(
        motion > _MIN_SLIP and difference < _SLIP_TOLERANCE * motion
        for difference, motion in (late, early)
    )


def _is_comparable(report: CaptureReport) -> bool:
    return report.orientation == "upright" and report.matched >= _MIN_MATCHED


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
