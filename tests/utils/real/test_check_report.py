import math

import pytest

from models.rig.alignment import Alignment
from models.rig.colours import ColourDifference
from models.rig.readout_order import ReadoutOrder
from models.rig.report import CaptureReport
from utils.real.check_report import format_report, warnings

ORDER = ReadoutOrder(0.98, 9.5, 10.0, 0.9, ((20.0, 0.0), (18.0, 0.0)))
GOOD = CaptureReport(
    size=(540, 960),
    matched=0.95,
    orientation="upright",
    blur=(0.8, 0.9),
    colours=ColourDifference(),
    alignment=Alignment((0.25, -0.31), spread=0.1, strips=40),
    speed=(12.3, 31.0),
    displacement=24.0,
    order=None,
)


def only_warning(**changes: object) -> str:
    [warning] = warnings(GOOD._replace(**changes))  # type: ignore[arg-type]
    return warning


def test_a_good_capture_in_full() -> None:
    assert warnings(GOOD) == []
    assert format_report(GOOD, "street/0") == (
        "street/0: capture check\n"
        "  size       960x540\n"
        "  sharpness  blur of the edges: t2b 0.8 px, b2t 0.9 px\n"
        "  matches    95 % of the pixels are found in the other view\n"
        "  colours    b2t against t2b at mid-grey: red +0.0 %, green +0.0 %, blue +0.0 %\n"
        "  cameras    b2t shows all 0.2 px further right, 0.3 px further up than t2b, turned by "
        "+0.00 degrees, +0.00 % larger; rest 0.1 px\n"
        "  motion     median 12.3, 95th percentile 31.0 px per frame interval\n"
        "  order      one capture cannot tell: swapped views look like time running backwards"
    )


def test_a_bad_capture_in_full() -> None:
    report = GOOD._replace(matched=0.12, blur=(0.8, None))
    assert format_report(report, "0") == (
        "0: capture check\n"
        "  size       960x540\n"
        "  sharpness  blur of the edges: t2b 0.8 px, b2t no edges to tell\n"
        "  matches    12 % of the pixels are found in the other view\n"
        "  warning: only 12 % of the pixels are found in the other view: do both show the same "
        "moment of the same scene? check which files belong together (--offset)"
    )


def test_order_is_said_where_it_is_known() -> None:
    assert warnings(GOOD._replace(order=ORDER)) == []
    assert (
        "order      as stated: motion agrees by +0.98 with that to the next capture, 9.5 of 10.0 "
        "px expected" in format_report(GOOD._replace(order=ORDER), "0")
    )


def test_swapped_views() -> None:
    assert only_warning(order=ORDER._replace(agreement=-0.97)) == (
        "the views seem swapped: motion within the capture runs against that to the next one "
        "(agreement -0.97); pass them the other way round"
    )


def test_views_read_the_same_way() -> None:
    order = ORDER._replace(agreement=0.1, within=0.2)
    assert only_warning(order=order, displacement=0.2) == (
        "both views seem to be read in the same direction: they differ by 0.2 px where motion to "
        "the next capture lets expect 10.0 px; one camera must be read the other way"
    )


def test_a_short_readout() -> None:
    assert only_warning(order=ORDER._replace(within=5.1)) == (
        "motion within the capture is 50 % of what the next one lets expect: the readout seems "
        "shorter than stated; see --readout-ratio"
    )


def test_a_pair_at_rest() -> None:
    assert only_warning(displacement=0.2) == (
        "nothing moves: 99 % of the image is displaced by 0.2 px at most, there is nothing to "
        "correct (or both views are read in the same direction)"
    )


def test_misaligned_cameras() -> None:
    alignment = Alignment((-6.3, 2.1), math.radians(0.3), 1.001, 0.2, 40)
    warning = only_warning(alignment=alignment)
    assert warning == (
        "the cameras are misaligned: at rows exposed at the same instant b2t shows all 6.3 px "
        f"further left, 2.1 px further down than t2b, at the corners up to "
        f"{alignment.max_displacement((540, 960)):.1f} px off; pass --align"
    )
    assert "turned by +0.30 degrees, +0.10 % larger" in format_report(
        GOOD._replace(alignment=alignment), "0"
    )


@pytest.mark.parametrize(("shift", "is_slip"), [((20.0, 1.0), 1), ((-18.0, 1.0), 1), ((9, 9), 0)])
def test_views_of_different_frames(shift: tuple[float, float], is_slip: int) -> None:
    warning = only_warning(alignment=Alignment(shift, strips=40), order=ORDER)
    assert ("in one frame interval: compare other frames (--offset)" in warning) == is_slip
    assert ("pass --align" in warning) != is_slip


def test_cameras_of_unknown_standing() -> None:
    assert only_warning(alignment=Alignment()) == (
        "rows exposed at the same instant show too little to tell how the cameras stand: whether "
        "they are aligned is unknown"
    )
    report = format_report(GOOD._replace(alignment=Alignment()), "0")
    assert "cameras    how b2t stands against t2b cannot be told: no texture at rows of" in report


def test_depth() -> None:
    assert only_warning(alignment=Alignment(spread=2.0, strips=40)) == (
        "parallax varies by 2.0 px along the row exposed at the same instant, as near and far "
        "things do: no alignment removes it; bring the lenses closer"
    )


def test_colours() -> None:
    colours = ColourDifference((1.02, 1.0, 0.88), (0.0, 0.0, 0.0))
    assert only_warning(colours=colours) == (
        "colours differ by 12 % in blue at mid-grey; pass --match-colour"
    )


def test_sharpness() -> None:
    assert only_warning(blur=(2.4, 0.9)) == (
        "t2b is less sharp: its edges are blurred by 2.4 px, the other's by 0.9 px; focus both "
        "cameras and give them the same exposure time"
    )
    assert only_warning(blur=(2.6, 3.1)) == (
        "the views are blurred by 3.1 px: frames will not be sharper; focus, or expose for less "
        "time"
    )
    assert only_warning(blur=(None, None)) == (
        "the views show no edges: there is nothing to measure, and nothing to correct"
    )
    assert warnings(GOOD._replace(blur=(None, 0.5))) == []


def test_an_image_turned_over() -> None:
    assert only_warning(orientation="upside down", matched=0.03) == (
        "b2t stands upside down against t2b: pass it turned back (an image turned over from top "
        "to bottom is read the other way)"
    )


def test_aligned_cameras_are_said_to_be() -> None:
    text = format_report(GOOD._replace(alignment=Alignment(spread=0.2, strips=9)), "0")
    assert "cameras    aligned where rows are exposed at the same instant; rest 0.2 px" in text
