"""Each stage of the motion estimate on tensors, against that on arrays."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from data.capture import CapturePair
from models.camera.motion import Matches, fit_camera_motion
from models.camera.refinement import refine_camera_motion
from models.classical import lost_objects
from models.classical.blending import disagreement
from models.classical.estimation import add_local_motion, estimate_motion, to_cells
from models.classical.evidence import collect_evidence, gather
from models.classical.field import MotionField
from models.classical.smoothing import affinity, diffuse, edge_weight
from models.device_motion import camera_fit, estimation
from models.device_motion.alignment import refine_camera_paths
from models.device_motion.camera_fit import fit_camera_paths
from models.device_motion.feature_search import match_features_of
from models.device_motion.parallax import estimate_parallaxes
from models.flow.dis import to_luma
from models.measurement.arrays import Array, Luma
from models.measurement.flow_measurement import (
    Measurement,
    check_flow,
    compare_along_flow,
    measure_motion,
    measure_noise,
    to_pixels,
)
from models.measurement.flow_refinement import refine_flow
from models.measurement.parallax import Parallax, estimate_parallax
from models.measurement.sampling import SmoothedView
from models.measurement.scan import Scan
from tests.helpers.batches import batch, batch_field
from tests.helpers.small_scene import simulate_small_scene

HEIGHT, WIDTH = 128, 160
SCAN = Scan.of(None, HEIGHT)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def capture() -> CapturePair:
    return simulate_small_scene()


@pytest.fixture(scope="module")
def views(capture: CapturePair) -> tuple[Luma, Luma]:
    t2b, b2t = map(to_luma, to_pixels(capture.pair))
    return t2b, b2t


@pytest.fixture(scope="module")
def measured(views: tuple[Luma, Luma]) -> tuple[Measurement, Measurement]:
    return measure_motion(views, SCAN, refined=True)


@pytest.fixture(scope="module")
def field(capture: CapturePair) -> MotionField:
    t2b, b2t = to_pixels(capture.pair)
    return estimate_motion(t2b, b2t, SCAN)


def agree(found: Tensor, expected: Any, *, mean: float, largest: float) -> None:
    """A batch of one is its only capture, but for OpenCV's rounding of places."""
    assert tuple(found.shape) == (1, *np.shape(expected))
    difference = np.abs(found[0].numpy() - expected)
    assert difference.mean() < mean and difference.max() < largest


def levels(views: tuple[Luma, Luma]) -> Any:
    return batch(tuple(view.astype(np.float32) for view in views))


def test_lumas_and_cells(capture: CapturePair, views: tuple[Luma, Luma]) -> None:
    given = capture.pair[None, ..., :-3, :-2]  # neither side is a whole number of cells
    for found, view in zip(estimation.to_lumas(given)[0], views, strict=True):
        assert np.abs(found.numpy() - view[:-3, :-2]).max() <= 1  # sums of another order
    for found, image in zip(estimation.to_cells(given)[0], to_pixels(given[0]), strict=True):
        np.testing.assert_allclose(found, to_cells(image), atol=1e-6)


def test_flow_refinement_and_its_check(views: tuple[Luma, Luma]) -> None:
    coarse = [found.flow for found in measure_motion(views, SCAN)]
    first, second = map(SmoothedView.of, views)
    expected = refine_flow(coarse[0], first, second)
    smoothed: Any = [SmoothedView.of(level) for level in levels(views)]
    found: Any = refine_flow(batch(coarse[0]), *smoothed)
    agree(found, expected, mean=0.01, largest=0.5)
    scan: Any = Scan(*batch(tuple(SCAN)))
    checked = check_flow(batch(coarse[0]), batch(coarse[1]), scan)
    for part, same in zip(checked, check_flow(coarse[0], coarse[1], SCAN), strict=True):
        agree(torch.as_tensor(part).expand(1, *np.shape(same)), same, mean=2e-3, largest=0.2)


def test_brightness_differences_and_noise(
    views: tuple[Luma, Luma], measured: tuple[Measurement, Measurement]
) -> None:
    expected = compare_along_flow(*views, measured[0])
    found: Any = compare_along_flow(*levels(views), batch(measured[0]))
    agree(found, expected, mean=0.1, largest=5)
    noise = estimation._measure_noise(found, batch(measured[0]))
    agree(noise[0, 0], measure_noise(expected, measured[0]), mean=2e-4, largest=2e-4)
    squared = RNG.random((4, 5, 3)).astype(np.float32) / 50
    for level in (0.0, 0.03):
        limited: Any = disagreement(batch(squared), torch.tensor(level))
        agree(limited, disagreement(squared, level), mean=1e-6, largest=1e-5)


@pytest.mark.parametrize(
    ("middle", "change"), [((0, 0), (0, 0)), ((3, -1), (0, 0)), ((2, 0), (4, 1))]
)
def test_parallax(middle: tuple[float, float], change: tuple[float, float]) -> None:
    size = (96, 720)
    known = Parallax(*(np.array(part, np.float32) for part in (middle, change)), size[1])
    own = np.broadcast_to(np.linspace(0, 1, size[0], dtype=np.float32)[:, None], size)
    sides = []
    for time, sign in ((own, 1), (1 - own, -1)):
        gap = 1 - 2 * time
        flow = gap[..., None] * np.array((5, -2)) + sign * known.at(np.arange(size[1]))
        flow = (flow + 0.05 * RNG.standard_normal(flow.shape)).astype(np.float32)
        sides.append(Measurement(flow, time, gap, np.ones_like(gap)))
    expected = estimate_parallax(*sides)
    found: Any = estimate_parallaxes(*batch(tuple(sides)))
    for name in ("middle", "change"):
        np.testing.assert_allclose(
            getattr(found, name).flatten(), getattr(expected, name), atol=5e-3
        )
    np.testing.assert_allclose(expected.change, change, atol=0.2)


def scattered_matches(count: int) -> Matches:
    """Matches by a camera that pans and turns, a fifth of which are an object's."""
    place = (RNG.random((count, 2)) * (WIDTH, HEIGHT)).astype(np.float32)
    instant = (place[:, 1] / (HEIGHT - 1)).astype(np.float32)
    other = 1 - instant
    elapsed = (other - instant)[:, None]
    moved = np.array((9, -4)) + 0.03 * (place - (80, 64))[:, ::-1] * (-1, 1)
    moved[: count // 5] += (14, 6)
    there = (place + elapsed * moved + 0.02 * RNG.standard_normal((count, 2))).astype(np.float32)
    return Matches(place, instant, there, other, np.ones(count, np.float32))


@pytest.mark.parametrize("count", [600, 30])
def test_camera_fit(count: int) -> None:
    matches = scattered_matches(count)
    x, y = np.float32([[20, 140]]), np.float32([[30, 90]])
    expected = fit_camera_motion(matches, (HEIGHT, WIDTH), 0.5)
    found = fit_camera_paths(
        camera_fit.Matches(*batch(tuple(matches))), (HEIGHT, WIDTH), torch.tensor([0.5])
    )
    velocity, deviation = found.motion(*map(torch.from_numpy, (x[None], y[None])))
    agree(velocity, expected.velocity(x, y), mean=0.01, largest=0.02)
    agree(deviation, expected.deviation(x, y), mean=0.01, largest=0.02)
    assert (np.abs(expected.velocity(x, y)).max() > 5) == (count > 40)


def test_camera_refinement(views: tuple[Luma, Luma]) -> None:
    matches = scattered_matches(600)
    start = fit_camera_motion(matches, (HEIGHT, WIDTH), 0.5)
    still = replace(start, path=np.zeros_like(start.path))
    flow = measure_motion(views, SCAN)[0]
    places = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), -1).astype(np.float32)
    kept = [part[::8, ::8] for part in (places, flow.own, flow.flow, flow.gap, flow.confidence)]
    place, own, moved, gap, confidence = (part.reshape(-1, *part.shape[2:]) for part in kept)
    seen = Matches(place, own, place + moved, own + gap, confidence)
    motion = fit_camera_motion(seen, (HEIGHT, WIDTH), 0.5)
    paths = fit_camera_paths(
        camera_fit.Matches(*batch(tuple(seen))), (HEIGHT, WIDTH), torch.tensor([0.5])
    )
    assert np.abs(motion.path - still.path).max() > 0
    none: Any = Parallax.none(WIDTH)
    expected, parallax = refine_camera_motion(motion, views, SCAN, none)
    zero = torch.zeros(1, 1, 1, 2)
    scan: Any = Scan(*batch(tuple(SCAN)))
    refined, between = refine_camera_paths(
        paths, levels(views), scan, none._replace(middle=zero, change=zero)
    )
    x, y = np.float32([[20, 140]]), np.float32([[30, 90]])
    velocity, _ = refined.motion(*map(torch.from_numpy, (x[None], y[None])))
    agree(velocity, expected.velocity(x, y), mean=0.05, largest=0.1)
    np.testing.assert_allclose(between.middle.flatten(), parallax.middle, atol=0.02)


def test_evidence_and_smoothing(
    field: MotionField, views: tuple[Luma, Luma], capture: CapturePair
) -> None:
    still = replace(field, velocity=field.camera)
    evidence = collect_evidence(still, views)
    found = collect_evidence(batch_field(still), levels(views))
    for part, expected in zip(found, evidence, strict=True):
        flow: Any = part.measured.flow
        agree(flow, expected.measured.flow, mean=0.02, largest=2)
    sums = gather(field, field.velocity, evidence)
    of_batch: Any = gather(batch_field(field), batch(field.velocity), batch(evidence))
    for part, expected in zip(of_batch, sums, strict=True):
        # A pixel at the border of two cells may count in either.
        agree(part, expected, mean=0.01 * np.abs(expected).mean() + 1e-4, largest=1)
    cells = tuple(map(to_cells, to_pixels(capture.pair)))
    smooth = add_local_motion(still, (cells[0], cells[1]), evidence)
    smoothed: Any = add_local_motion(batch_field(still), batch(cells), batch(evidence))
    agree(smoothed.velocity, smooth.velocity, mean=0.02, largest=1)


def test_diffusion() -> None:
    weight, image = RNG.random((2, 12, 15)).astype(np.float32)[0], RNG.random((12, 15, 3))
    target, start = RNG.random((2, 12, 15, 2)).astype(np.float32)
    links = affinity(image.astype(np.float32))
    for part, expected in zip(affinity(batch(image.astype(np.float32))), links, strict=True):
        agree(torch.as_tensor(part), expected, mean=1e-6, largest=1e-5)
    edges: Any = edge_weight(batch(start), axis=-2)
    agree(edges, edge_weight(start, axis=-2), mean=1e-6, largest=1e-5)
    found: Any = diffuse(*(batch(part.copy()) for part in (weight, target, *links, start)))
    agree(found, diffuse(weight, target, *links, start), mean=1e-4, largest=1e-3)


def test_lost_objects(
    field: MotionField,
    views: tuple[Luma, Luma],
    measured: tuple[Measurement, Measurement],
    capture: CapturePair,
) -> None:
    """Features and objects of a batch of two, of which the second has a mask without features."""
    differences: list[Array] = [RNG.random((HEIGHT, WIDTH)).astype(np.float32) for _ in views]
    for difference in differences:
        difference[40:80, 50:100] = 40
    masks = [lost_objects.failed_flow(*part) for part in zip(differences, measured, strict=True)]
    found_masks: Any = [
        lost_objects.failed_flow(batch(difference), batch(measurement))
        for difference, measurement in zip(differences, measured, strict=True)
    ]
    for mask, expected in zip(found_masks, masks, strict=True):
        assert 0.1 < expected.mean() < 0.9 and np.array_equal(mask[0].numpy(), expected)
    resting = replace(field, velocity=np.zeros_like(field.velocity), camera=0 * field.camera)
    matched = lost_objects.match_features(views, measured, differences)
    assert len(matched[0]) > 10
    both = [level.expand(2, -1, -1) for level in levels(views)]
    two = [torch.cat((mask, torch.zeros_like(mask))) for mask in found_masks]
    moved: Any = batch_field(resting)
    twice = replace(
        moved,
        velocity=moved.velocity.expand(2, -1, -1, -1),
        parallax=moved.parallax._replace(
            middle=moved.parallax.middle.expand(2, -1, -1, -1),
            change=moved.parallax.change.expand(2, -1, -1, -1),
        ),
        scan=Scan(*(part.expand(2, -1, -1) for part in moved.scan)),
    )
    with match_features_of((both[0], both[1]), (two[0], two[1])) as matching:
        proposed = matching.propose_objects(twice)
    objects = list(lost_objects.propose_objects(matched, resting))
    assert len(proposed) == len(objects) > 0
    for (velocity, around), (expected, place) in zip(proposed, objects, strict=True):
        np.testing.assert_allclose(velocity[0], expected, atol=1e-3)
        assert np.array_equal(around[0].numpy(), place) and not around[1].any()
    cells = tuple(map(to_cells, to_pixels(capture.pair)))
    accepted = lost_objects.accept_objects(objects, (cells[0], cells[1]), resting)
    tried: Any = [(velocity[:1], around[:1]) for velocity, around in proposed]
    of_batch: Any = lost_objects.accept_objects(tried, batch(cells), moved)
    assert accepted[1].any() and (of_batch[1][0].numpy() != accepted[1]).mean() < 0.02
    with match_features_of((both[0], both[1]), (two[0] & False, two[1] & False)) as matching:
        assert matching.propose_objects(twice) == []
