import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor

from data.simulator.drawing import draw_scene
from data.simulator.scene import Scene
from data.simulator.settings import SceneSettings
from data.time_maps import scan_time
from models.measurement.flow_measurement import Measurement
from models.rig.alignment import Alignment
from models.rig.readout_order import ReadoutOrder, motion_within
from models.rig.report import check_capture


def draw(seed: int, **settings: float) -> Scene:
    photos = (skimage.data.astronaut(), skimage.data.coffee())
    textures = [torch.from_numpy(photo).permute(2, 0, 1) for photo in photos]
    usual = {"camera_motion": 16.0, "object_motion": 20.0, "acceleration": 3.0}
    given = SceneSettings(height=160, width=224, **(usual | settings))  # type: ignore[arg-type]
    return draw_scene(textures, given, seed)


def clip(scene: Scene, *, ratio: float = 1.0, one_way: bool = False) -> list[Tensor]:
    """Two successive captures with a readout of `ratio` frame intervals."""
    s = (1 - ratio) / 2 + ratio * scan_time(scene.height)
    other = s if one_way else 1 - s
    return [scene.render(torch.stack((k + s, k + other))) for k in (0, 1)]


def order(pair: Tensor, next_pair: Tensor, scan: Tensor | None = None) -> ReadoutOrder:
    found = check_capture(pair, scan, next_pair=next_pair).order
    assert found is not None
    return found


def verdicts(pairs: list[Tensor]) -> tuple[str, str]:
    """Verdicts on the views as given, and exchanged."""
    first, second = pairs
    return order(first, second).verdict, order(first.flip(0), second.flip(0)).verdict


def test_swapped_views_equal_reversed_time() -> None:
    scene = draw(0)
    reversed_time = scene.render(torch.stack((1 - scan_time(160), scan_time(160))))
    torch.testing.assert_close(clip(scene)[0].flip(0), reversed_time)


@pytest.mark.parametrize("seed", range(6))
def test_the_next_capture_reveals_swapped_views(seed: int) -> None:
    assert verdicts(clip(draw(seed))) == ("as stated", "swapped")


@pytest.mark.parametrize("seed", range(4))
def test_a_shaking_camera_raises_no_false_alarm(seed: int) -> None:
    given, exchanged = verdicts(clip(draw(seed, camera_motion=6.0, acceleration=9.0)))
    assert given in ("as stated", "cannot be told")
    assert exchanged in ("swapped", "cannot be told")


def test_views_read_the_same_way() -> None:
    assert verdicts(clip(draw(1), one_way=True)) == ("same direction",) * 2


def test_the_motion_ratio_is_that_of_true_to_stated_readout() -> None:
    pairs = clip(draw(1, acceleration=0.0), ratio=0.5)
    assert order(*pairs).motion_ratio == pytest.approx(0.5, abs=0.06)
    stated = 0.25 + 0.5 * scan_time(160)
    assert order(*pairs, stated).motion_ratio == pytest.approx(1, abs=0.12)


def test_a_scene_at_rest_gives_no_verdict() -> None:
    assert verdicts(clip(draw(2, strength=0.0))) == ("cannot be told",) * 2


def test_captures_of_different_scenes_give_no_verdict() -> None:
    assert verdicts([clip(draw(1))[0], clip(draw(4))[0]]) == ("cannot be told",) * 2


@pytest.mark.parametrize(
    ("agreement", "within", "trusted", "expected"),
    [
        (0.9, 9.0, 0.9, "as stated"),
        (-0.9, 9.0, 0.9, "swapped"),
        (-0.9, 9.0, 0.2, "cannot be told"),
        (-0.4, 9.0, 0.9, "cannot be told"),
        (-0.9, 40.0, 0.9, "cannot be told"),
        (0.1, 0.5, 0.9, "same direction"),
        (0.9, 1.0, 0.9, "cannot be told"),
    ],
)
def test_verdicts_by_hand(agreement: float, within: float, trusted: float, expected: str) -> None:
    order = ReadoutOrder(agreement, within, 10.0, trusted, ((0, 0), (0, 0)))
    assert order.motion_ratio == pytest.approx(agreement * within / 10)
    assert order.verdict == expected


def test_motion_within_a_capture_by_hand() -> None:
    own = np.zeros((3, 5), np.float32)
    flow = np.full((3, 5, 2), (4, 1), np.float32)
    measurement = Measurement(flow, own, own, own)
    moved = motion_within(measurement, Alignment((1.5, 1.0)), side=1)
    np.testing.assert_allclose(moved, np.full((3, 5, 2), (2.5, 0)), atol=1e-6)
    moved = motion_within(measurement, Alignment((1.5, 1.0)), side=-1)
    np.testing.assert_allclose(moved, np.full((3, 5, 2), (5.5, 2)), atol=1e-6)
