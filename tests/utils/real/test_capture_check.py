import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from data.camera_timing import CameraTiming
from data.capture import CapturePair
from data.simulator.drawing import draw_scene
from data.simulator.settings import SceneSettings
from data.simulator.textures import load_textures
from data.time_maps import scan_time
from data.video.streams import CaptureStream
from models.rig.alignment import Alignment, estimate_alignment
from models.rig.colours import ColourDifference
from models.rig.dark_borders import DarkBorders
from models.rig.flicker import RowGains
from tests.helpers.clips import real_options
from tests.helpers.moving_texture import Pan
from utils.real.capture_check import Checked, Preparation, check_clip, check_single

GENERATOR = {
    "method": "network",
    "path": {"pretrained_netG": "pretrained/drsc_light_generator.safetensors"},
}
SETTINGS = SceneSettings(height=160, width=240, camera_motion=10, max_objects=0, parallax=(5, -3))


def capture(name: str = "scene") -> CapturePair:
    pair = draw_scene(load_textures(None)[2:3], SETTINGS, 3).capture([], name=name)
    return CapturePair(pair.t2b, pair.b2t * 0.8, pair.scan_time, name)


def clip(count: int) -> CaptureStream:
    shown = capture()

    def views(start: int) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(start, count):
            yield shown.t2b, shown.b2t

    return CaptureStream("clip", count, 30, CameraTiming(), (), "lr", None, (), views)  # type: ignore[arg-type]


def test_nothing_is_done_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    shown = capture()
    assert check_single(shown, real_options(check=False)) == Checked()
    assert capsys.readouterr().out == ""
    assert check_single(shown, real_options()).preparation == Preparation()
    assert capsys.readouterr().out.startswith("scene: capture check\n  size       240x160\n")
    assert torch.equal(Preparation().apply(shown.pair), shown.pair)


def test_figures_are_of_the_views_as_the_sensors_stand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    figures = []
    for directions in (("t2b", "b2t"), ("l2r", "r2l")):
        # As it is for correction, which reads rows; the sensors' columns are these.
        check_single(capture(), real_options(timing={"directions": directions}))
        said = capsys.readouterr().out
        size, *shift = re.findall(r"size +(\S+)|(\S+) px (left|right|up|down)", said)[:3]
        figures.append((size[0], [(float(length), side) for _, length, side in shift]))
    upright, sideways = figures
    assert upright[0] == "240x160" and sideways[0] == "160x240"
    (x, right), (y, up) = upright[1]
    assert (right, up) == ("right", "up") and x > y
    assert sideways[1] == [(y, "left"), (x, "down")]


@pytest.mark.parametrize("count", [None, 1, 3])
def test_measured_differences_are_undone(
    count: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = real_options(**GENERATOR, align=True, match_colour=True)
    checked = check_single(capture(), asked) if count is None else check_clip(clip(count), asked)
    made, left = checked
    assert not any("aligned" in text or "colours" in text for text in left)
    assert made.alignment is not None and made.colours is not None
    assert made.alignment.shift == pytest.approx((5, -3), abs=0.5)
    assert made.colours.gain == pytest.approx([0.8] * 3, abs=0.02)
    said = capsys.readouterr().out
    assert "undone by --align" in said and "undone by --match-colour" in said and "pass" not in said
    assert "is undone by --align: " in said
    prepared = estimate_alignment([made.apply_to(capture()).pair])
    assert torch.tensor(prepared.shift).abs().max() < 0.5


def test_a_shift_that_the_method_compensates_is_no_warning_and_stays(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for align in (False, True):
        preparation, left = check_single(capture(), real_options(align=align))
        assert preparation == Preparation()
        assert not any("misaligned" in text for text in left)
        assert any("pass --match-colour" in text for text in left)
        assert "the method compensates this by itself" in capsys.readouterr().out
    _, left = check_single(capture(), real_options(**GENERATOR))
    assert any("misaligned" in text and "pass --align" in text for text in left)


def test_dark_borders_are_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    shown = capture()
    shown.b2t[:, :2] = shown.b2t[:, :, -1:] = 0
    made = check_single(shown, real_options(check=False)).preparation
    assert capsys.readouterr().out == ""
    assert made == Preparation(borders=(DarkBorders(), DarkBorders(top=2, right=1)))
    prepared = made.apply(shown.pair)
    assert torch.equal(prepared[0], shown.t2b) and prepared[1, :, 0, -1].min() > 0
    assert torch.equal(prepared[1, :, 0, :-1], shown.b2t[:, 2, :-1])
    assert check_single(shown, real_options()).preparation == made
    said = "scene: dark borders are left out: 2 px at the top of b2t, 1 px at the right of b2t\n"
    assert capsys.readouterr().out.startswith(said)


def test_figures_are_described_by_name() -> None:
    made = Preparation(Alignment(shift=(1.0, 2.0)), None)
    assert made.describe()["alignment"]["shift"] == (1.0, 2.0)
    assert made.describe()["colours"] is None
    assert Preparation(colours=ColourDifference()).describe()["alignment"] is None


def flickering_clip(count: int) -> CaptureStream:
    """Mains light of 100 Hz at 25 pairs per second: 4 cycles per readout, and a bit more."""
    gains = RowGains(4.1, 0.08, 0.05)

    def views(start: int) -> Iterator[tuple[Tensor, Tensor]]:
        steady = 0.15 + 0.6 * Pan((12, -4), (96, 144)).pair()
        scan = scan_time(96).double().numpy()
        for number in range(start, count):
            light = np.stack([gains.at(number + scan), gains.at(number + 1 - scan)])
            first, second = steady * torch.from_numpy(light).float()[:, None, :, None]
            yield first, second

    return CaptureStream("clip", count, 25, CameraTiming(), (), "lr", None, (), views)  # type: ignore[arg-type]


def test_flicker_is_named_and_removed_from_every_pair(capsys: pytest.CaptureFixture[str]) -> None:
    stream = flickering_clip(3)
    checked = check_clip(stream, real_options())
    line, *report = capsys.readouterr().out.splitlines()
    said = re.fullmatch(
        r"clip: the light flickers by (\d+) % at (\S+) cycles per readout \((\S+) Hz at "
        r"--readout-ratio 1\); this is removed from the views \(deflicker\)",
        line,
    )
    assert said and report[0] == "clip: capture check"
    assert int(said[1]) == pytest.approx(9.4, abs=1)
    assert float(said[2]) == pytest.approx(4.1, abs=0.03)
    assert float(said[3]) == pytest.approx(102.5, abs=1)
    steady = 0.15 + 0.6 * Pan((12, -4), (96, 144)).pair()
    for shown in stream.pairs():
        left = (checked.preparation.apply_to(shown).pair - steady).square().mean().sqrt()
        assert left < 0.1 * (shown.pair - steady).square().mean().sqrt()


def test_flicker_stays_if_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    stream = flickering_clip(1)
    checked = check_clip(stream, real_options(deflicker=False))
    assert checked.preparation == Preparation()
    assert "; this stays in the views (deflicker)\n" in capsys.readouterr().out
