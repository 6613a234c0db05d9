"""What the page asks for, as the command line that does it."""

import sys
from pathlib import Path

import pytest

from data.video.inputs import ChosenInput, chosen_input
from utils.app.request import (
    ARRANGEMENTS,
    DIRECTIONS,
    METHODS,
    Request,
    Upload,
    bundled_captures,
)
from utils.errors import InputError
from utils.options.command_line import parse_arguments
from utils.options.real import RealOptions, add_capture_arguments, load_real_options

ROOT = Path(__file__).parents[3]


def upload(folder: Path, name: str) -> Upload:
    path = folder / name
    path.write_bytes(name.encode())
    return Upload(path, name)


def options_of(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[RealOptions, ChosenInput | None]:
    """How `main_test_real.py` reads the words."""
    monkeypatch.setattr(sys, "argv", ["main_test_real.py", *words])
    standard = str(ROOT / "options/test_real.json")
    arguments = parse_arguments("What.", extra=add_capture_arguments, default_options=standard)
    return load_real_options(arguments), chosen_input(arguments)


def test_two_images_with_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views = upload(tmp_path, "left.PNG"), upload(tmp_path, "right.tif")
    (tmp_path / "job").mkdir()
    asked = Request(
        views,
        cures=frozenset({"swap", "--align", "--match-colour", "--offset"}),
        method="classical, without learned weights",
        frames=5,
        readout_ratio=0.8,
        start_offset=-0.25,
        directions="l2r,r2l",
    )
    files = asked.take(tmp_path / "job")
    assert [path.name for path in files] == ["first.png", "second.tif"]
    words = asked.words(files, tmp_path / "results", check_only=False)
    options, chosen = options_of(words, monkeypatch)
    assert chosen is not None and (chosen.first, chosen.second) == (str(files[1]), str(files[0]))
    assert options.title == "left.PNG and right.tif"
    assert (options.align, options.match_colour, options.gif) == (True, True, True)
    assert (options.method, options.frames, options.folder) == (
        *("classical", 5, tmp_path / "results"),
    )
    timing = options.timing.camera_timing()
    assert (timing.readout_ratio, timing.start_offset) == (0.8, -0.25)
    assert timing.directions == ("l2r", "r2l")


def test_frames_per_pair_slow_a_clip_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views = upload(tmp_path, "a.mp4"), upload(tmp_path, "b.mov")
    asked = Request(views, cures=frozenset({"--offset"}), frames=3)
    options, chosen = options_of(
        asked.words([view.path for view in views], tmp_path, check_only=False), monkeypatch
    )
    assert chosen is not None and chosen.is_clip and chosen.changes is None
    assert options.speed == 1 / 3 and options.frames is None and options.save_frames
    words = asked.words([view.path for view in views], tmp_path, check_only=True)
    assert options_of(words, monkeypatch)[0].check == "only"


def test_swapping_the_halves_of_one_file_exchanges_their_directions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = upload(tmp_path, "both.mkv")
    asked = Request((both,), layout="tb", cures=frozenset({"swap", "--offset"}))
    options, chosen = options_of(asked.words([both.path], tmp_path, check_only=True), monkeypatch)
    assert chosen == ChosenInput(str(both.path), layout="tb")
    assert options.timing.camera_timing().directions == ("b2t", "t2b")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    [name, *_] = bundled_captures()
    asked = Request(bundled_captures()[name], method=method)
    files = asked.take(tmp_path)
    words = asked.words(files, tmp_path / "out", check_only=False)
    monkeypatch.chdir(tmp_path)  # where jobs run
    options, _ = options_of(words, monkeypatch)
    if options.method == "network":
        assert Path(str(options.path.pretrained_netG)).is_file()


def test_names_never_become_paths(tmp_path: Path) -> None:
    job = tmp_path / "job"
    job.mkdir()
    odd = [upload(tmp_path, "a; rm -rf *.png"), upload(tmp_path, "-o <b>..%2f.jpg")]
    files = Request((*odd,)).take(job)
    assert sorted(job.iterdir()) == sorted(files) == [job / "first.png", job / "second.jpg"]
    assert files[0].read_bytes() == odd[0].path.read_bytes()


@pytest.mark.parametrize(
    ("names", "changes", "said"),
    [
        ((), {}, "give both views, one file each"),
        (("a.png",), {}, "give both views, one file each"),
        ((), {"layout": "lr"}, "give the file with both views"),
        (("a.png", "b.mp4"), {}, "one view is an image and the other a video"),
        (("a.png", "notes.txt"), {}, r"notes\.txt: neither an image nor a video; expected one of"),
        (("a.png", "b.png"), {"frames": 34}, "frames: expected 1 to 33, got 34"),
        (("a.png", "b.png"), {"method": "--help"}, "method: expected one of"),
        (("a.png", "b.png"), {"directions": "up,down"}, "directions: expected one of"),
    ],
)
def test_what_cannot_be_asked_for(
    tmp_path: Path, names: tuple[str, ...], changes: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        Request(tuple(upload(tmp_path, name) for name in names), **changes)  # type: ignore[arg-type]


def test_an_upload_that_is_gone_is_named(tmp_path: Path) -> None:
    views = upload(tmp_path, "a.png"), upload(tmp_path, "b.png")
    views[1].path.unlink()
    (tmp_path / "job").mkdir()
    with pytest.raises(InputError, match=r"^b\.png: no longer here; upload it again$"):
        Request(views).take(tmp_path / "job")


def test_what_is_offered() -> None:
    assert [*bundled_captures()] == ["astronaut", "coffee"]
    assert all(view.path.is_file() for capture in bundled_captures().values() for view in capture)
    assert [*ARRANGEMENTS.values()] == [None, "lr", "tb", None]
    assert DIRECTIONS[0] == "t2b,b2t"
