import math

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from models.measurement.arrays import Doubles
from models.rig.alignment import Alignment, align, estimate_alignment, fit_alignment
from tests.helpers.frames import classical_frames, psnr
from tests.helpers.moving_texture import Pan

SIZE = (128, 224)
INNER = np.s_[..., 12:-12, 12:-12]


def misalign(pair: Tensor, alignment: Alignment) -> Tensor:
    """The pair with its b2t misaligned."""
    moved = cv2.warpAffine(
        pair[1].permute(1, 2, 0).numpy(),
        alignment.matrix(SIZE),
        SIZE[::-1],
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return torch.stack((pair[0], torch.from_numpy(moved).permute(2, 0, 1).clamp(0, 1)))


def strips(
    alignment: Alignment, *, noise: float, count: int = 24, seed: int = 0
) -> tuple[Doubles, Doubles]:
    rng = np.random.default_rng(seed)
    middle = (SIZE[0] - 1) / 2
    first = np.stack((np.linspace(10, SIZE[1] - 11, count), np.full(count, middle)), axis=1)
    matrix = alignment.matrix(SIZE)
    second = first @ matrix[:, :2].T + matrix[:, 2]
    return first, second + rng.normal(scale=noise, size=second.shape)


def test_displacement_by_hand() -> None:
    matrix = Alignment((2, 1), math.pi / 2, 2.0).matrix((3, 5))
    # The centre (2, 1) moves by the shift; points right of it turn down, to twice the distance.
    np.testing.assert_allclose(matrix @ (2, 1, 1), (4, 2), atol=1e-12)
    np.testing.assert_allclose(matrix @ (3, 1, 1), (4, 4), atol=1e-12)
    assert Alignment((3, 4)).max_displacement((9, 9)) == pytest.approx(5)
    assert Alignment(zoom=1.5).max_displacement((7, 9)) == pytest.approx(2.5)


@pytest.mark.parametrize("alignment", [Alignment((4, -2)), Alignment((4, -2), 0.3, 1.1)])
def test_two_halves_make_the_whole_and_negative_shares_lead_back(alignment: Alignment) -> None:
    whole, half, back = (
        np.vstack((alignment.matrix(SIZE, share=share), (0, 0, 1))) for share in (1.0, 0.5, -0.5)
    )
    np.testing.assert_allclose(half @ half, whole, atol=1e-9)
    np.testing.assert_allclose(half @ back, np.eye(3), atol=1e-9)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (6.3, 2.1), (-3.0, -9.0)])
def test_shift_of_a_moving_capture(shift: tuple[float, float]) -> None:
    found = estimate_alignment([Pan((9, -6), SIZE, parallax=shift).pair()])
    np.testing.assert_allclose(found.shift, shift, atol=0.1)
    assert found.angle == 0 and found.zoom == 1 and found.spread < 0.2 and found.strips >= 8


def test_turn_and_zoom_of_moving_captures() -> None:
    true = Alignment((4, -3), math.radians(0.6), 1.01)
    pairs = [misalign(Pan(velocity, SIZE).pair(), true) for velocity in ((8, 3), (-7, 4), (2, -6))]
    found = estimate_alignment(pairs)
    np.testing.assert_allclose(found.shift, true.shift, atol=0.15)
    assert found.angle == pytest.approx(true.angle, abs=math.radians(0.1))
    assert found.zoom == pytest.approx(true.zoom, abs=0.002)


def test_more_captures_make_a_turn_significant() -> None:
    true = Alignment((1, 0), math.radians(0.3))
    assert fit_alignment([strips(true, noise=0.5, count=12)], SIZE).angle == 0
    many = [strips(true, noise=0.5, count=12, seed=seed) for seed in range(30)]
    assert fit_alignment(many, SIZE).angle == pytest.approx(true.angle, abs=math.radians(0.1))


def test_nearer_objects_are_outliers() -> None:
    true = Alignment((3, -1), math.radians(0.5))
    first, second = strips(true, noise=0.05)
    second[4:10] += (12, 0)
    found = fit_alignment([(first, second)], SIZE)
    np.testing.assert_allclose(found.shift, true.shift, atol=0.1)
    assert found.angle == pytest.approx(true.angle, abs=math.radians(0.05))


def test_depth_is_not_mistaken_for_a_turn() -> None:
    first, second = strips(Alignment((2, 0)), noise=0.05)
    second[:, 1] += np.tile((4, 0, 2, 0, 6, 2), 4)
    found = fit_alignment([(first, second)], SIZE)
    assert found.angle == 0 and found.zoom == 1 and found.spread > 1.5
    np.testing.assert_allclose(found.shift, (2, 2), atol=0.1)


def test_an_insignificant_shift_counts_as_none() -> None:
    first, second = strips(Alignment((1, 0)), noise=6)
    found = fit_alignment([(first, second)], SIZE)
    assert found.shift == (0, 0) and found.spread > 3 and found.strips == 24


def test_without_texture_the_alignment_is_unknown() -> None:
    assert estimate_alignment([torch.zeros(2, 3, 8, 9)]).strips == 0
    assert estimate_alignment([]) == Alignment()
    first, second = strips(Alignment((3, 0)), noise=0, count=3)
    assert fit_alignment([(first, second)], SIZE) == Alignment()


def test_aligned_views_agree_at_equal_instants() -> None:
    pair = misalign(Pan((9, -6), SIZE).pair(), Alignment((5, 3), math.radians(-0.5), 0.99))
    aligned = align(pair, estimate_alignment([pair]))
    left = estimate_alignment([aligned])
    assert left.max_displacement(SIZE) < 0.4
    assert aligned.shape == pair.shape and aligned.min() >= 0 and aligned.max() <= 1
    middle = np.s_[:, 60:68, 20:-20]
    assert psnr(aligned[0][middle], aligned[1][middle]) > psnr(pair[0][middle], pair[1][middle]) + 8


def test_alignment_improves_frames() -> None:
    pan = Pan((9, -6), SIZE)
    true = Alignment((5, -3), math.radians(1.0), 0.985)
    # Frames are halfway between the views.
    half = Alignment((2.5, -1.5), math.radians(0.5), 0.985**0.5)
    frame = torch.from_numpy(pan.frame(0.2)).permute(2, 0, 1)
    between = misalign(torch.stack((frame, frame)), half)[1]
    pair = misalign(pan.pair(), true)
    before = psnr(classical_frames(pair, [0.2])[0][INNER], between[INNER])
    aligned = align(pair, estimate_alignment([pair]))
    assert psnr(classical_frames(aligned, [0.2])[0][INNER], between[INNER]) > before + 4


def test_alignment_keeps_rows_at_their_instants() -> None:
    pan = Pan((24, 0), SIZE, parallax=(0, 10))
    pair = pan.pair()
    frame = classical_frames(align(pair, estimate_alignment([pair])), [0.5])[0]
    # Row y of the aligned views are the sensors' rows y - 5 and y + 5: both read 5 rows earlier.
    expected, off = (
        torch.from_numpy(pan.frame(t)).permute(2, 0, 1) for t in (0.5 - 5 / 127, 0.5 + 5 / 127)
    )
    assert psnr(frame[INNER], expected[INNER]) > psnr(frame[INNER], off[INNER]) + 10


def test_small_misalignments_are_ignored() -> None:
    pair = torch.rand(2, 3, 20, 30)
    assert align(pair, Alignment((0.1, -0.1))) is pair
