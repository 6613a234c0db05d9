"""Findings, errors and progress in plain words."""

from pathlib import Path

import pytest

from utils.app.jobs import Outcome, Report
from utils.app.request import Request, Upload
from utils.app.words import (
    CURES,
    cures_in,
    describe_figures,
    frame_page,
    names_of,
    tell_error,
    tell_failure,
    tell_findings,
    tell_progress,
    tell_success,
)

IMAGES = Request((Upload(Path("/u/1.png"), "left.png"), Upload(Path("/u/2.png"), "<b>.png")))
CLIP = Request((Upload(Path("/u/1.mp4"), "left.mp4"), Upload(Path("/u/2.mp4"), "right.mp4")))


def summary(*warnings: tuple[str, str | None], notes: tuple[str, ...] = ()) -> dict[str, object]:
    found = [{"text": text, "cure": cure} for text, cure in warnings]
    return {"results": [{"name": "first", "warnings": found}], "notes": [*notes], "text": []}


def outcome(status: int = 1, *, cancelled: bool = False, errors: tuple[str, ...] = ()) -> Outcome:
    return Outcome(status, {"errors": [*errors]} if errors else {}, ["last line"], cancelled)


def test_progress_says_stage_and_time() -> None:
    said = tell_progress(Report("checking", 4.2))
    assert said == '<progress></progress><p id="state">Checking the views, 4 s gone</p>'
    bar = {"name": "x", "unit": "pair", "done": 8, "total": 40, "seconds_left": 95.4}
    assert tell_progress(Report("correcting", 70, bar)) == (
        '<progress value="8" max="40"></progress><p id="state">Correcting, 8 of 40 pairs, '
        "1 min 35 s left, 1 min 10 s gone</p>"
    )
    done = bar | {"done": 40, "seconds_left": 0.0}
    assert "left" not in tell_progress(Report("correcting", 70, done))


def test_findings_name_buttons_and_no_options() -> None:
    found = summary(
        ("the views seem swapped: (agreement -0.97); swap them", "swap"),
        ("the cameras are misaligned; pass --align", "--align"),
        ("colours differ by 9 %; pass --match-colour", "--match-colour"),
        ("the readout seems shorter than stated; see --readout-ratio", None),
        notes=(
            "warning: /u/2.mp4: a frame is missing before frame 7; all later pairs are wrong; give "
            "--offset 0,7:-1",
            "converted from BT.2020",
        ),
    )
    said = tell_findings(found, {"/u/2.mp4": "right.mp4"})
    assert "--" not in said and said.count("<li>") == 5
    for name in CURES.values():
        assert f"press “{name}”" in said
    assert "right.mp4: a frame is missing" in said and "BT.2020" not in said
    assert cures_in(found, CLIP) == {*CURES}
    assert cures_in(found, IMAGES) == {"swap", "--align", "--match-colour"}
    assert "nothing that would impair" in tell_findings(summary(), {})
    assert cures_in(summary(), CLIP) == set()


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (outcome(cancelled=True), "Cancelled. Nothing of it is kept."),
        (outcome(-9), "Out of memory; ask for fewer frames, or for smaller ones"),
        (outcome(errors=("/job/second.png: damaged",)), "&lt;b&gt;.png: damaged"),
        (
            outcome(errors=("/job/x: cannot write there: No space left on device; free space",)),
            "The server cannot write: No space left on device",
        ),
        (outcome(), "Last line"),
    ],
)
def test_failures_are_a_sentence(ended: Outcome, said: str) -> None:
    names = names_of(IMAGES, [Path("/job/first.png"), Path("/job/second.png")])
    assert tell_failure(ended, names) == f'<p class="failed">{said}</p>'


def test_names_keep_their_letters() -> None:
    assert tell_error(["left.png: damaged"]) == '<p class="failed">left.png: damaged</p>'


def test_success_says_how_many_frames() -> None:
    made = {"results": [{"frames": 1}], "seconds": 3.0}
    assert "1 frame, made in 3 s." in tell_success(made)
    made = {"results": [{"frames": 40, "fps": 25.0}], "seconds": 61.0}
    assert "40 frames at 25 per second, made in 1 min 1 s." in tell_success(made)


def test_figures_leave_out_where_the_server_keeps_results() -> None:
    said = {"notes": ["a note"], "text": ["first: capture check", "first: 9 frames in /tmp/job"]}
    assert describe_figures(said) == "a note\nfirst: capture check"


def test_the_viewer_reaches_nothing_around_it() -> None:
    framed = frame_page('<script>"a" & b</script>')
    assert framed.count("<") == 2 and 'sandbox="allow-scripts"' in framed
    assert "&lt;script&gt;&quot;a&quot; &amp; b" in framed
