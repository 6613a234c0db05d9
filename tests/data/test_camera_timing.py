from typing import Any

import pytest
import skimage.data
import torch
from torch import Tensor

from data.camera_timing import CameraTiming
from data.simulator.drawing import draw_scene
from data.simulator.scene import Scene
from data.simulator.settings import SceneSettings
from data.time_maps import scan_time
from tests.helpers.frames import classical_frames
from utils.errors import InputError

TIMES = [0.0, 0.25, 0.5, 0.75, 1.0]
HEIGHT, WIDTH = 160, 224
SUB_INSTANTS = 9


def scene() -> Scene:
    photos = [torch.from_numpy(skimage.data.coffee()).permute(2, 0, 1)]
    settings = SceneSettings(
        height=HEIGHT, width=WIDTH, camera_motion=16, acceleration=0, max_objects=0
    )
    return draw_scene(photos, settings, 4)


def sensor(first_read: float, ratio: float, exposure: float, *, bottom_up: bool = False) -> Tensor:
    """What a sensor sees: row after row is read, each having collected light until then."""
    row = torch.arange(HEIGHT, dtype=torch.float64)
    order = HEIGHT - 1 - row if bottom_up else row
    read = first_read + ratio * order / (HEIGHT - 1)
    parts = torch.linspace(1, 0, SUB_INSTANTS, dtype=torch.float64)[:, None]
    return scene().render((read - exposure * ratio * parts).float()).mean(0)


def corrected_psnr(pair: Tensor, timing: CameraTiming, times: list[float] = TIMES) -> list[float]:
    lines = pair.shape[-1] if timing.is_transposed else pair.shape[-2]
    oriented = torch.stack(timing.orient(*pair))
    frames = timing.restore(classical_frames(oriented, times, scan_time=timing.scan_time(lines)))
    truth = scene().render(torch.tensor(times)[:, None].expand(-1, HEIGHT))
    inner = (..., slice(24, -24), slice(24, -24))
    error = (frames[inner] - truth[inner]).square().flatten(1).mean(1)
    return (-10 * torch.log10(error)).tolist()


def test_default_is_the_papers_timing() -> None:
    assert torch.equal(CameraTiming().scan_time(7), scan_time(7))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"readout_ratio": 0.5}, [0.25, 0.5, 0.75]),
        ({"start_offset": 0.2}, [-0.1, 0.4, 0.9]),
        ({"start_offset": 0.2, "readout_ratio": 0.5}, [0.2, 0.45, 0.7]),
        ({"exposure": (0.3, 0.3)}, [0.0, 0.5, 1.0]),
        ({"exposure": (0.1, 0.3)}, [0.05, 0.55, 1.05]),
        ({"start_offset": 0.2, "directions": ("b2t", "t2b")}, [0.1, 0.6, 1.1]),
    ],
)
def test_scan_time_by_hand(values: dict[str, Any], expected: list[float]) -> None:
    assert CameraTiming(**values).scan_time(3).tolist() == pytest.approx(expected)


def test_orient_gives_t2b_first_and_restore_undoes_it() -> None:
    first, second = torch.rand(3, 4, 6), torch.rand(3, 4, 6)
    assert CameraTiming().orient(first, second) == (first, second)
    turned = CameraTiming(directions=("b2t", "t2b")).orient(first, second)
    assert torch.equal(turned[0], second) and torch.equal(turned[1], first)
    sideways = CameraTiming(directions=("l2r", "r2l"))
    forward, backward = sideways.orient(first, second)
    assert forward.shape == (3, 6, 4) and torch.equal(forward[:, 5, 1], first[:, 1, 5])
    assert torch.equal(sideways.restore(backward), second)
    forward, _ = CameraTiming(directions=("r2l", "l2r")).orient(first, second)
    assert torch.equal(forward, second.transpose(-1, -2))


@pytest.mark.parametrize(
    ("timing", "physical"),
    [
        # first read of the first and of the second sensor in frame intervals, ratio, exposures
        (CameraTiming(readout_ratio=0.6), (0.2, 0.2, 0.6, 0.0, 0.0)),
        (CameraTiming(start_offset=0.3), (-0.15, 0.15, 1.0, 0.0, 0.0)),
        (
            CameraTiming(readout_ratio=0.8, start_offset=-0.25),
            (0.2, 0.0, 0.8, 0.0, 0.0),
        ),
        (
            CameraTiming(readout_ratio=0.8, exposure=(0.1, 0.5)),
            (0.22, 0.22, 0.8, 0.1, 0.5),  # mid-exposures 0.04 and 0.2 earlier: 0.1 on average
        ),
    ],
)
def test_simulated_captures_of_that_timing(
    timing: CameraTiming, physical: tuple[float, ...]
) -> None:
    first_read, second_read, ratio, first_exposure, second_exposure = physical
    pair = torch.stack(
        (
            sensor(first_read, ratio, first_exposure),
            sensor(second_read, ratio, second_exposure, bottom_up=True),
        )
    )
    honoured = corrected_psnr(pair, timing)
    ignored = corrected_psnr(pair, CameraTiming())
    assert min(honoured) > 27 and sum(honoured) / 5 > sum(ignored) / 5 + 1.5, (honoured, ignored)


def test_sensors_that_read_columns() -> None:
    column = torch.arange(WIDTH, dtype=torch.float64) / (WIDTH - 1)
    turned = draw_scene(
        [torch.from_numpy(skimage.data.coffee()).permute(2, 1, 0)],
        SceneSettings(height=WIDTH, width=HEIGHT, camera_motion=16, acceleration=0, max_objects=0),
        4,
    )
    views = turned.render(torch.stack((column, 1 - column)).float()).transpose(-1, -2)
    truth = turned.render(torch.full((1, WIDTH), 0.5)).transpose(-1, -2)
    timing = CameraTiming(directions=("r2l", "l2r"))
    oriented = torch.stack(timing.orient(views[1], views[0]))
    frames = timing.restore(classical_frames(oriented, [0.5], scan_time=timing.scan_time(WIDTH)))
    inner = (..., slice(24, -24), slice(24, -24))
    assert -10 * torch.log10((frames - truth)[inner].square().mean()) > 30


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"readout_ratio": 1e-4}, "readout ratio 0.0001: expected .* from 0.001, below which"),
        ({"readout_ratio": 1.5}, "readout ratio 1.5"),
        ({"start_offset": 1.0}, "start offset 1: .*--offset shifts by whole frames"),
        ({"exposure": (0.0, 1.2)}, "exposure 0,1.2: expected readouts from 0 to 1"),
        ({"directions": ("t2b", "t2b")}, "directions t2b,t2b: expected opposite ones, t2b,b2t"),
        ({"directions": ("l2r", "b2t")}, "directions l2r,b2t: expected opposite ones, l2r,r2l"),
    ],
)
def test_impossible_timing_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CameraTiming(**values)


def test_a_single_line_has_no_readout() -> None:
    with pytest.raises(InputError, match="at least 2 rows, got 1"):
        CameraTiming().scan_time(1)


def test_oriented_directions_are_those_of_the_restored_pictures() -> None:
    assert CameraTiming(directions=("b2t", "t2b")).oriented_directions == ("t2b", "b2t")
    assert CameraTiming(directions=("r2l", "l2r")).oriented_directions == ("l2r", "r2l")
