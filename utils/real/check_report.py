"""What the capture check says: figures in a few lines, and warnings that name a cure."""

import math
from collections.abc import Collection, Iterator

from models.rig.alignment import Alignment
from models.rig.readout_order import ReadoutOrder
from models.rig.report import CaptureReport

_LEAST_MATCHED = 0.4  # of the pixels
_MOST_BLUR, _MOST_BLUR_RATIO, _LEAST_BLUR_CHANGE = 2.5, 1.6, 0.6  # px, and between the views
_MOST_COLOUR = 0.03  # relative difference at mid-grey
_MOST_DISPLACEMENT, _MOST_SPREAD = 1.0, 1.5  # px at equal instants
_LEAST_MOTION = 0.5  # px
_LEAST_PACE, _CERTAIN_AGREEMENT = 0.7, 0.9
_SLIP, _LEAST_SLIP = 0.25, 3.0  # of the motion to the next capture, and px of it
_CHANNELS = ("red", "green", "blue")


def format_report(report: CaptureReport, name: str, *, asked: Collection[str] = ()) -> str:
    """A block of lines: the figures, as far as the views match, then the warnings.

    `asked` holds the cures that are applied anyway, "--align" and "--match-colour".
    """
    height, width = report.size
    t2b, b2t = ("no edges to tell" if blur is None else f"{blur:.1f} px" for blur in report.blur)
    middle, most = report.speed
    figures = {
        "size": f"{width}x{height}",
        "sharpness": f"blur of the edges: t2b {t2b}, b2t {b2t}",
        "matches": f"{_percent(report.matched)} of the pixels are found in the other view",
    }
    if _is_comparable(report):
        figures |= {
            "colours": f"b2t against t2b at mid-grey: {_colours(report)}",
            "cameras": _describe_rig(report.alignment),
            "motion": f"median {middle:.1f}, 95th percentile {most:.1f} px per frame interval",
            "order": _describe_order(report.order),
        }
    lines = [f"{name}: capture check"]
    lines += [f"  {label:<10} {text}" for label, text in figures.items()]
    lines += [f"  warning: {text}" for text in warnings(report, asked=asked)]
    return "\n".join(lines)


def warnings(report: CaptureReport, *, asked: Collection[str] = ()) -> list[str]:
    """What stands in the way of a good correction, the measured figure and the cure; often none."""
    if report.orientation != "upright":
        return [
            f"b2t stands {report.orientation} against t2b: pass it turned back (an image turned "
            "over from top to bottom is read the other way)"
        ]
    if not _is_comparable(report):
        return [
            f"only {_percent(report.matched)} of the pixels are found in the other view: do both "
            "show the same moment of the same scene? check which files belong together (--offset)"
        ]
    if report.blur == (None, None):
        return ["the views show no edges: there is nothing to measure, and nothing to correct"]
    return [
        *_warn_of_order(report.order),
        *_warn_of_rest(report),
        *_warn_of_rig(report, asked),
        *_warn_of_colours(report, asked),
        *_warn_of_blur(report),
    ]


def _warn_of_order(order: ReadoutOrder | None) -> Iterator[str]:
    if order is None:
        return
    if order.verdict == "swapped":
        yield (
            "the views seem swapped: motion within the capture runs against that to the next one "
            f"(agreement {order.agreement:+.2f}); pass them the other way round"
        )
    elif order.verdict == "same direction":
        yield (
            f"both views seem to be read in the same direction: they differ by {order.within:.1f} "
            f"px where motion to the next capture lets expect {order.expected:.1f} px; one camera "
            "must be read the other way"
        )
    elif order.agreement > _CERTAIN_AGREEMENT and order.motion_ratio < _LEAST_PACE:
        yield (
            f"motion within the capture is {_percent(order.motion_ratio)} of what the next "
            "one lets expect: the readout seems shorter than stated; see --readout-ratio"
        )


def _warn_of_rest(report: CaptureReport) -> Iterator[str]:
    if report.displacement < _LEAST_MOTION and not _is_one_way(report.order):
        yield (
            f"nothing moves: 99 % of the image is displaced by {report.displacement:.1f} px at "
            "most, there is nothing to correct (or both views are read in the same direction)"
        )


def _warn_of_rig(report: CaptureReport, asked: Collection[str]) -> Iterator[str]:
    alignment, order = report.alignment, report.order
    if not alignment.strips:
        yield (
            "rows exposed at the same instant show too little to tell how the cameras stand: "
            "whether they are aligned is unknown"
        )
        return
    farthest = alignment.max_displacement(report.size)
    if farthest >= _MOST_DISPLACEMENT:
        slip = order is not None and _is_slip(alignment, order)
        cure = (
            "about as far as things move in one frame interval: compare other frames (--offset)"
            if slip
            else _cure("--align", asked)
        )
        yield (
            f"the cameras are misaligned: at rows exposed at the same instant b2t shows all "
            f"{_place(alignment)} than t2b, at the corners up to {farthest:.1f} px off; {cure}"
        )
    if alignment.spread >= _MOST_SPREAD:
        yield (
            f"parallax varies by {alignment.spread:.1f} px along the row exposed at the same "
            "instant, as near and far things do: no alignment removes it; bring the lenses closer"
        )


def _warn_of_colours(report: CaptureReport, asked: Collection[str]) -> Iterator[str]:
    worst = max(range(3), key=lambda channel: abs(report.colours.at_grey[channel]))
    difference = report.colours.at_grey[worst]
    if abs(difference) >= _MOST_COLOUR:
        yield (
            f"colours differ by {_percent(abs(difference))} in {_CHANNELS[worst]} at mid-grey; "
            f"{_cure('--match-colour', asked)}"
        )


def _cure(flag: str, asked: Collection[str]) -> str:
    return f"undone by {flag}" if flag in asked else f"pass {flag}"


def _warn_of_blur(report: CaptureReport) -> Iterator[str]:
    t2b, b2t = report.blur
    if t2b is None or b2t is None:
        return
    sharper, softer = sorted((t2b, b2t))
    name = "t2b" if t2b > b2t else "b2t"
    if softer > max(_MOST_BLUR_RATIO * sharper, sharper + _LEAST_BLUR_CHANGE):
        yield (
            f"{name} is less sharp: its edges are blurred by {softer:.1f} px, the other's by "
            f"{sharper:.1f} px; focus both cameras and give them the same exposure time"
        )
    elif softer > _MOST_BLUR:
        yield (
            f"the views are blurred by {softer:.1f} px: frames will not be sharper; focus, or "
            "expose for less time"
        )


def _describe_rig(alignment: Alignment) -> str:
    if not alignment.strips:
        return "how b2t stands against t2b cannot be told: no texture at rows of equal instants"
    turn, zoom = math.degrees(alignment.angle), 100 * (alignment.zoom - 1)
    if math.hypot(*alignment.shift) < 0.05 and abs(turn) < 0.005 and abs(zoom) < 0.005:
        return f"aligned where rows are exposed at the same instant; rest {alignment.spread:.1f} px"
    return (
        f"b2t shows all {_place(alignment)} than t2b, turned by {turn:+.2f} degrees, "
        f"{zoom:+.2f} % larger; rest {alignment.spread:.1f} px"
    )


def _describe_order(order: ReadoutOrder | None) -> str:
    if order is None:
        return "one capture cannot tell: swapped views look like time running backwards"
    return (
        f"{order.verdict}: motion agrees by {order.agreement:+.2f} with that to the next capture, "
        f"{order.within:.1f} of {order.expected:.1f} px expected"
    )


def _colours(report: CaptureReport) -> str:
    parts = zip(_CHANNELS, report.colours.at_grey, strict=True)
    return ", ".join(f"{channel} {100 * difference:+.1f} %" for channel, difference in parts)


def _place(alignment: Alignment) -> str:
    """Such as "6.3 px further right, 2.1 px further down"."""
    x, y = alignment.shift
    across, along = "right" if x >= 0 else "left", "down" if y >= 0 else "up"
    return f"{abs(x):.1f} px further {across}, {abs(y):.1f} px further {along}"


def _is_slip(alignment: Alignment, order: ReadoutOrder) -> bool:
    """Whether the cameras stand apart by what moves in one frame interval."""
    x, y = alignment.shift
    (right, down), (next_right, next_down) = order.motion_to_next
    # Of a b2t one frame late, mid-height is where the next t2b has it; of an early one, reversed.
    late = math.hypot(x - right, y - down), math.hypot(right, down)
    early = math.hypot(x + next_right, y + next_down), math.hypot(next_right, next_down)
    return any(
        length > _LEAST_SLIP and difference < _SLIP * length for difference, length in (late, early)
    )


def _is_comparable(report: CaptureReport) -> bool:
    return report.orientation == "upright" and report.matched >= _LEAST_MATCHED


def _is_one_way(order: ReadoutOrder | None) -> bool:
    return order is not None and order.verdict == "same direction"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
