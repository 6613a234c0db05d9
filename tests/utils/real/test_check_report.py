import math

import pytest

from models.rig.alignment import Alignment
from models.rig.colours import ColourDifference
from models.rig.readout_order import ReadoutOrder
from models.rig.realignment import AlignmentTrial
from models.rig.report import CaptureReport
from utils.real.check_report import cure_of, format_report, warnings

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
        "  sharpness  edge blur: t2b 0.8 px, b2t 0.9 px\n"
        "  matches    95 % of the pixels are found in the other view\n"
        "  colours    b2t relative to t2b at mid-grey: red +0.0 %, green +0.0 %, blue +0.0 %\n"
        "  cameras    b2t is 0.2 px right and 0.3 px up of t2b; residual 0.1 px\n"
        "  motion     median 12.3, 95th percentile 31.0 px per frame interval\n"
        "  order      unknown from a single capture: swapped views look like time running backwards"
    )


def test_a_bad_capture_in_full() -> None:
    report = GOOD._replace(matched=0.12, blur=(0.8, None))
    assert format_report(report, "0") == (
        "0: capture check\n"
        "  size       960x540\n"
        "  sharpness  edge blur: t2b 0.8 px, b2t no edges\n"
        "  matches    12 % of the pixels are found in the other view\n"
        "  warning: only 12 % of the pixels are found in the other view: do both show the same "
        "moment of the same scene? check which files belong together (--offset)"
    )


def test_order_is_said_where_it_is_known() -> None:
    assert warnings(GOOD._replace(order=ORDER)) == []
    assert (
        "order      as stated: agreement +0.98 with the motion to the next capture, 9.5 of 10.0 px "
        "expected" in format_report(GOOD._replace(order=ORDER), "0")
    )


def test_swapped_views() -> None:
    assert only_warning(order=ORDER._replace(agreement=-0.97)) == (
        "the views seem swapped: motion within the capture opposes the motion to the next one "
        "(agreement -0.97); swap them"
    )


def test_views_read_the_same_way() -> None:
    order = ORDER._replace(agreement=0.1, within=0.2)
    assert only_warning(order=order, displacement=0.2) == (
        "both views seem to have the same readout direction: the views differ by 0.2 px, but the "
        "motion to the next capture predicts 10.0 px; set one camera to the opposite readout "
        "direction"
    )


def test_a_short_readout() -> None:
    assert only_warning(order=ORDER._replace(within=5.1)) == (
        "motion within the capture is 50 % of what the motion to the next one predicts: the "
        "readout seems shorter than stated; see --readout-ratio"
    )


def test_a_pair_at_rest() -> None:
    assert only_warning(displacement=0.2) == (
        "nothing moves: 99 % of the image is displaced by at most 0.2 px; there is nothing to "
        "correct (or both views have the same readout direction)"
    )


def test_misaligned_cameras() -> None:
    alignment = Alignment((-6.3, 2.1), math.radians(0.3), 1.001, 0.2, 40)
    warning = only_warning(alignment=alignment)
    assert warning == (
        "the cameras are misaligned: in the rows that both views expose at the same time, b2t is "
        "6.3 px left and 2.1 px down of t2b, turned by 0.30 degrees clockwise, 0.10 % larger "
        f"({alignment.max_displacement((540, 960)):.1f} px at the worst corner); pass --align"
    )
    report = GOOD._replace(alignment=alignment._replace(shift=(0, -5.7), angle=-0.01, zoom=0.9953))
    assert (
        "cameras    b2t is 5.7 px up of t2b, turned by 0.57 degrees anticlockwise, 0.47 % smaller; "
        "residual 0.2 px" in format_report(report, "0")
    )


MISALIGNED = Alignment((-6.0, 8.0), spread=0.2, strips=40)


@pytest.mark.parametrize(
    ("after", "helps", "asked", "said", "warning"),
    [
        (None, False, False, "nothing to do: the method compensates this by itself", None),
        (None, False, True, "--align is left out: the method compensates this by itself", None),
        (Alignment((0.3, 0.4)), True, True, "is undone by --align: 10.0 px at", "undone by"),
        (Alignment((0.3, 0.4)), True, False, "would be undone by --align: 10.0 px", "pass --align"),
        (Alignment((3, -4), spread=1), False, True, "is kept, not undone by", "does not help"),
        (Alignment((3, -4)), False, False, "would not be undone by --align", "does not help"),
    ],
)
def test_what_aligning_does_is_said(
    after: Alignment | None, helps: bool, asked: bool, said: str, warning: str | None
) -> None:
    trial = AlignmentTrial(MISALIGNED, after, helps)
    applied = ("--align",) if asked else ()
    report = GOOD._replace(alignment=MISALIGNED)
    text = format_report(report, "0", applied=applied, trial=trial)
    assert f"  alignment  {said}" in text
    found = warnings(report, applied=applied, trial=trial)
    assert len(found) == (warning is not None) and (warning or "") in "".join(found)
    if asked and after == Alignment((3, -4), spread=1):
        assert "10.0 px at the worst corner before, 5.0 px after; residual 0.2 and 1.0 px" in text


@pytest.mark.parametrize(("shift", "is_slip"), [((20.0, 1.0), 1), ((-18.0, 1.0), 1), ((9, 9), 0)])
def test_views_of_different_frames(shift: tuple[float, float], is_slip: int) -> None:
    warning = only_warning(alignment=Alignment(shift, strips=40), order=ORDER)
    assert ("in one frame interval: compare other frames (--offset)" in warning) == is_slip
    assert ("pass --align" in warning) != is_slip


def test_unknown_alignment() -> None:
    assert only_warning(alignment=Alignment()) == (
        "cannot measure camera alignment: too little texture in the rows that both views expose "
        "at the same time"
    )
    report = format_report(GOOD._replace(alignment=Alignment()), "0")
    assert "cameras    alignment unknown: too little texture in the rows that both" in report


def test_depth() -> None:
    assert only_warning(alignment=Alignment(spread=2.0, strips=40)) == (
        "parallax differs by 2.0 px between near and far objects in the rows that both views "
        "expose at the same time: no alignment removes it; bring the lenses closer together"
    )


def test_colours() -> None:
    colours = ColourDifference((1.02, 1.0, 0.88), (0.0, 0.0, 0.0))
    assert only_warning(colours=colours) == (
        "colours differ by 12 % in blue at mid-grey; pass --match-colour"
    )


def test_a_cure_is_not_printed_where_trying_it_did_not_help() -> None:
    colours = ColourDifference((1.0, 1.0, 0.88), (0.0, 0.0, 0.0))
    helped, not_helped = ColourDifference(), ColourDifference((1.0, 1.0, 0.92), (0.0, 0.0, 0.0))
    assert "pass --match-colour" in only_warning(colours=colours, colours_matched=helped)
    assert only_warning(colours=colours, colours_matched=not_helped) == (
        "colours differ by 12 % in blue at mid-grey; --match-colour does not help (8 % when "
        "measured after it); likely causes, in this order: a flash, image stabilisation in a "
        "camera, flicker"
    )
    trial = AlignmentTrial(Alignment((3, -4), strips=9), Alignment((3, 4), strips=9), helps=False)
    report = GOOD._replace(alignment=trial.before)
    [said] = warnings(report, trial=trial)
    assert said.endswith(
        "; --align does not help, as measured after it; likely causes, in this order: a flash, "
        "image stabilisation in a camera, flicker, the rig itself"
    )


def test_light_that_changes_during_the_readout() -> None:
    assert only_warning(unevenness=0.17).startswith(
        "the light changes during the readout: brightness differs by 17 % (RMS over the rows)"
    )
    colours = ColourDifference((1.0, 1.0, 0.88), (0.0, 0.0, 0.0))
    light, said = warnings(GOOD._replace(unevenness=0.17, colours=colours))
    assert "a flash" in light
    assert said.endswith("--match-colour does not help: brightness differs from row to row, too")


def test_sharpness() -> None:
    assert only_warning(blur=(2.4, 0.9)) == (
        "t2b is less sharp: its edge blur is 2.4 px, that of the other view 0.9 px; focus both "
        "cameras and give them the same exposure time"
    )
    assert only_warning(blur=(2.6, 3.1)) == (
        "the edge blur is 3.1 px and frames will be as soft: focus the cameras, or shorten the "
        "exposure"
    )
    assert only_warning(blur=(None, None)) == (
        "the views show no edges: there is nothing to measure and nothing to correct"
    )
    assert warnings(GOOD._replace(blur=(None, 0.5))) == []


def test_an_image_turned_over() -> None:
    assert only_warning(orientation="upside down", matched=0.03) == (
        "b2t is upside down relative to t2b: undo that in the input (a vertical flip also reverses "
        "the readout direction)"
    )


def test_aligned_cameras_are_said_to_be() -> None:
    text = format_report(GOOD._replace(alignment=Alignment(spread=0.2, strips=9)), "0")
    assert (
        "cameras    aligned in the rows that both views expose at the same time; residual 0.2 px"
        in text
    )


@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        ({"order": ORDER._replace(agreement=-0.97)}, "swap"),
        ({"alignment": Alignment((-6.3, 2.1), strips=40)}, "--align"),
        ({"colours": ColourDifference((1.0, 0.8, 1.0))}, "--match-colour"),
        ({"matched": 0.12}, "--offset"),
        ({"order": ORDER, "alignment": Alignment((20.0, 1.0), strips=40)}, "--offset"),
        ({"displacement": 0.2}, None),
        ({"orientation": "mirrored"}, None),
    ],
)
def test_what_a_program_can_do_is_read_from_the_warning(
    changes: dict[str, object], cure: str | None
) -> None:
    assert cure_of(only_warning(**changes)) == cure
