"""Captures from a video: checked against a scene whose every instant is known."""

import gc
import math
import weakref
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import Tensor

from data.dataset_writer.rolling_video import (
    IntervalFactory,
    RollingSettings,
    VideoStatistics,
    roll_captures,
)
from data.simulator.drawing import draw_scene
from data.simulator.imaging import Imaging
from data.simulator.scene import Scene
from data.simulator.settings import SceneSettings
from models.flow.dis import DISFlow
from models.flow.interpolation import Flow, Interval, make_interval
from models.warping import backward_warp
from tests.data.simulator.test_drawing import photos, psnr

HEIGHT, WIDTH = 64, 96
SETTINGS = SceneSettings(
    height=HEIGHT, width=WIDTH, camera_motion=10, object_motion=8, acceleration=2, max_objects=0
)


def video(scene: Scene, span: int, *, before: int = 0, after: int = 0) -> list[Tensor]:
    """Frames of a scene, `span` of them from t = 0 to 1."""
    instants = torch.arange(-before, span + after) / (span - 1)
    return list(scene.render(instants[:, None].expand(-1, scene.height)))


def roll(
    frames: list[Tensor], settings: RollingSettings
) -> tuple[list[tuple[int, torch.Tensor]], VideoStatistics]:
    statistics = VideoStatistics()
    rolled = roll_captures(iter(frames), settings, interpolate(settings, DISFlow()), statistics)
    return [(first, capture) for first, capture in rolled], statistics


def interpolate(settings: RollingSettings, flow: Flow) -> IntervalFactory:
    return partial(make_interval, imaging=settings.imaging, flow=flow)


def no_flow(first: Tensor, second: Tensor) -> Tensor:
    return first.new_zeros((1, 2, *first.shape[2:]))


@pytest.mark.parametrize("seed", range(3))
def test_captures_equal_those_of_the_filmed_scene(seed: int) -> None:
    scene = draw_scene(photos(), SETTINGS, seed)
    settings = RollingSettings(span=9, step=8, times=(0, 0.5, 0.55, 1), imaging=Imaging())
    ((first, capture),), statistics = roll(video(scene, 9), settings)
    exact = scene.capture(settings.times)
    assert first == 0
    assert exact.truth is not None and capture.truth is not None
    assert torch.equal(capture.scan_time, exact.scan_time)
    assert psnr(capture.t2b, exact.t2b) > 40
    assert psnr(capture.b2t, exact.b2t) > 40
    assert psnr(capture.t2b, exact.b2t) < 35
    torch.testing.assert_close(capture.truth[[0, 1, 3]], exact.truth[[0, 1, 3]], atol=1e-4, rtol=0)
    assert psnr(capture.truth[2], exact.truth[2]) > 40
    assert (statistics.frames, statistics.size) == (9, (HEIGHT, WIDTH))
    assert 0.2 < statistics.max_speed < 4


def test_exposures_reach_beyond_the_readout() -> None:
    imaging = Imaging(exposure=0.4)
    settings = RollingSettings(span=9, step=1, times=(0.5,), imaging=imaging)
    assert (settings.margin, settings.frames_needed) == (2, 13)
    scene = draw_scene(photos(blur=4), SETTINGS, 2)
    rolled, _ = roll(video(scene, 9, before=2, after=2), settings)
    ((first, capture),) = rolled
    assert first == 2
    exposed = Scene(HEIGHT, WIDTH, scene.camera, scene.layers, imaging).capture([0.5])
    assert psnr(capture.t2b, exposed.t2b) > 38
    assert psnr(capture.b2t, exposed.b2t) > 38
    assert psnr(capture.t2b, exposed.t2b) > 3 + psnr(capture.t2b, scene.capture([]).t2b)


def test_rows_at_frame_instants_equal_those_frames() -> None:
    # With as many frames as rows every row is a row of a frame, whatever the flow.
    frames = list(torch.rand(5, 3, 5, 4, generator=torch.Generator().manual_seed(0)))
    settings = RollingSettings(span=5, step=4, times=(0.25,), imaging=Imaging(gamma=1.0))
    ((_, capture),) = list(
        roll_captures(frames, settings, interpolate(settings, no_flow), VideoStatistics())
    )
    t2b = torch.stack([frames[row][:, row] for row in range(5)], dim=1)
    b2t = torch.stack([frames[4 - row][:, row] for row in range(5)], dim=1)
    torch.testing.assert_close(capture.t2b, t2b)
    torch.testing.assert_close(capture.b2t, b2t)
    assert torch.equal(capture.truth[0], frames[1])


def test_exposure_averages_light_not_values() -> None:
    black, white = torch.zeros(3, 4, 4), torch.ones(3, 4, 4)
    imaging = Imaging(exposure=1.0, gamma=2.0)
    settings = RollingSettings(span=2, step=9, times=(0.0,), imaging=imaging)
    ((first, capture),) = list(
        roll_captures(
            [black, black, white, white],
            settings,
            interpolate(settings, no_flow),
            VideoStatistics(),
        )
    )
    # Each row integrates one interval's length around its instant; light rises from frame 1 to 2.
    s = torch.arange(4) / 3
    begin, end = (1 + s - 0.5).clamp(1, 2), (1 + s + 0.5).clamp(1, 2)
    light = ((end - 1) ** 2 - (begin - 1) ** 2) / 2 + (s - 0.5).clamp(min=0)
    assert first == 1
    torch.testing.assert_close(capture.t2b[0, :, 0], light.sqrt())


def test_motion_blur_does_not_depend_on_earlier_motion() -> None:
    # A bar stands still, then moves by 6 px from frame to frame.
    places = [0, *range(0, 66, 6)]
    frames = [torch.zeros(3, 16, 96) for _ in places]
    for frame, place in zip(frames, places, strict=True):
        frame[..., 8 + place : 14 + place] = 1

    def moved(first: Tensor, second: Tensor) -> Tensor:
        flow = first.new_zeros((1, 2, *first.shape[2:]))
        flow[:, 0] = 6.0 * float((first != second).any())
        return flow if first.flatten().argmax() < second.flatten().argmax() else -flow

    imaging = Imaging(exposure=0.5, gamma=1.0)
    settings = RollingSettings(span=5, step=99, times=(0.5,), imaging=imaging)
    ((_, still),) = list(
        roll_captures(frames, settings, interpolate(settings, moved), VideoStatistics())
    )
    ((_, moving),) = list(
        roll_captures(frames[1:], settings, interpolate(settings, moved), VideoStatistics())
    )
    # Where the bar passes in the middle of an exposure of 12 px it is seen half of the time.
    for capture in (still, moving):
        assert capture.t2b[0, 8].max() == pytest.approx(0.5, abs=0.02)
        assert float(capture.t2b[0, 8].sum()) == pytest.approx(6, abs=0.1)


def test_captures_start_every_step_frames() -> None:
    frames = list(torch.rand(12, 3, 4, 4))
    for step, begins in ((4, [0, 4]), (1, list(range(8))), (7, [0, 7]), (20, [0])):
        settings = RollingSettings(span=5, step=step, times=(0.0, 1.0), imaging=Imaging())
        rolled = list(
            roll_captures(frames, settings, interpolate(settings, no_flow), VideoStatistics())
        )
        assert [first for first, _ in rolled] == begins
        for number, (first, capture) in enumerate(rolled):
            assert capture.name == f"{number:08d}"
            assert capture.truth is not None
            torch.testing.assert_close(capture.truth[1], frames[first + 4])


def test_noise_differs_between_captures() -> None:
    frames = [torch.full((3, 16, 16), 0.5)] * 5
    settings = RollingSettings(span=3, step=2, times=(), imaging=Imaging(read_noise=0.05))
    (_, first), (_, second) = list(
        roll_captures(frames, settings, interpolate(settings, no_flow), VideoStatistics())
    )
    assert not torch.equal(first.t2b, second.t2b)
    assert not torch.equal(first.t2b, first.b2t)


def test_memory_does_not_grow_with_the_video() -> None:
    alive: list[weakref.ref[Tensor]] = []

    def endless() -> Iterator[Tensor]:
        while True:
            frame = torch.rand(3, 4, 4)
            alive.append(weakref.ref(frame))
            yield frame

    settings = RollingSettings(span=4, step=3, times=(0.0,), imaging=Imaging())
    rolled = roll_captures(endless(), settings, interpolate(settings, no_flow), VideoStatistics())
    for _ in range(20):
        next(rolled)
    gc.collect()
    assert len(alive) > 60
    assert sum(reference() is not None for reference in alive) <= 4


def test_a_video_too_short_gives_no_capture() -> None:
    settings = RollingSettings(span=5, step=1, times=(), imaging=Imaging())
    rolled, statistics = roll([torch.rand(3, 16, 16)] * 4, settings)
    assert rolled == []
    assert statistics.frames == 4


def test_rows_of_an_interval_are_interpolated_at_their_positions() -> None:
    texture = photos(1)[0].float() / 255
    frames = (texture[:, 20:60, 20:80], texture[:, 18:58, 23:83])  # content moves by (-3, 2)

    def exact(first: Tensor, _: Tensor) -> Tensor:
        sign = 1 if torch.equal(first[0], frames[0]) else -1
        velocity = torch.tensor([-3.0, 2.0])[:, None, None]
        return (sign * velocity).expand(2, 40, 60)[None]

    interval = make_interval(frames, Imaging(gamma=1.0), exact)
    assert interval.speed == pytest.approx(math.hypot(3, 2))
    positions = torch.linspace(0.1, 0.9, 10).double()
    light = interval.light(positions, top=15)
    assert light.shape == (3, 10, 60)
    shifts = positions.float()[:, None] * torch.tensor([3.0, -2.0])
    whole = torch.zeros(40, 2)
    whole[15:25] = shifts
    flow = whole.T[None, :, :, None].expand(1, 2, 40, 60)
    expected = backward_warp(frames[0][None], flow).warped[0, :, 15:25]
    inside = (slice(None), slice(None), slice(4, -4))
    torch.testing.assert_close(light[inside], expected[inside], atol=0.01, rtol=0)


def test_entering_content_comes_from_the_frame_that_shows_it() -> None:
    shape = (3, 8, 12)
    black, white = torch.zeros(shape), torch.ones(shape)
    forth = torch.zeros(2, 8, 12)
    forth[0] = 4  # all moves right: the left columns enter
    interval = Interval(black, white, forth, -forth)
    light = interval.light(torch.full((8,), 0.5, dtype=torch.float64))
    assert float(light[:, :, :2].min()) > 0.99
    assert float(light[:, :, -2:].max()) < 0.01
    torch.testing.assert_close(light[:, :, 5], torch.full((3, 8), 0.5))
