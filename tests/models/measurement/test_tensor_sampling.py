"""The operations on tensors against OpenCV's, and by hand."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from models.measurement.arrays import Array
from models.measurement.sampling import (
    SmoothedView,
    area_resize,
    box_mean,
    gaussian_blur,
    pixel_grid,
    sample_image,
)
from models.measurement.statistics import fit_line, fit_lines
from models.measurement.tensor_sampling import (
    masked_median,
    mean_in_cells,
    pad_border,
    with_neighbours,
)
from tests.helpers.moving_texture import smooth_texture

RNG = np.random.default_rng(0)
IMAGES = np.stack([255 * smooth_texture((24, 31), seed=seed)[..., 0] for seed in (1, 2)])
VECTORS = RNG.random((2, 24, 32, 3)).astype(np.float32)
# OpenCV rounds places to 32nds of a pixel.
X, Y = (RNG.integers(-64, 32 * 34, (2, 9, 7)).astype(np.float32) / 32 for _ in range(2))

Operation = Callable[[Any], Any]


def compare(operation: Operation, values: Array, *, atol: float) -> None:
    """A batch gives what each of its images gives."""
    found = operation(torch.from_numpy(values))
    expected = np.stack([operation(image) for image in values])
    np.testing.assert_allclose(found.numpy(), expected, atol=atol)


@pytest.mark.parametrize(
    "operation",
    [
        lambda values: box_mean(values, 5),
        lambda values: box_mean(values, 7, cv2.BORDER_DEFAULT),
        lambda values: gaussian_blur(values, 0.8),
        lambda values: gaussian_blur(values, 2.0),
    ],
)
def test_filters_equal_opencv(operation: Operation) -> None:
    compare(operation, IMAGES, atol=1e-3)


def test_means_of_vectors_equal_opencv() -> None:
    compare(lambda values: box_mean(values, 9, cv2.BORDER_DEFAULT), VECTORS, atol=1e-5)
    compare(lambda values: area_resize(values, (8, 6)), VECTORS, atol=1e-5)


@pytest.mark.parametrize("kind", [cv2.INTER_LINEAR, cv2.INTER_LANCZOS4])
def test_samples_equal_opencv(kind: int) -> None:
    found = sample_image(torch.from_numpy(IMAGES), *map(torch.from_numpy, (X, Y)), kind)  # type: ignore[arg-type]
    for image, x, y, sampled in zip(IMAGES, X, Y, found, strict=True):
        np.testing.assert_allclose(sampled, sample_image(image, x, y, kind), atol=0.02)


def test_samples_of_vectors_keep_their_axes_and_one_grid_serves_all_images() -> None:
    x, y = pixel_grid((24, 32), like=torch.from_numpy(VECTORS))
    assert x.shape == (1, 24, 32)
    found = sample_image(torch.from_numpy(VECTORS), x, y)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, VECTORS, atol=1e-5)


def test_one_image_is_sampled_at_the_places_of_a_batch() -> None:
    image = torch.from_numpy(IMAGES[:1])
    places = torch.from_numpy(X), torch.from_numpy(Y)
    found = sample_image(image, *places)
    assert torch.equal(found, sample_image(image.expand(2, -1, -1), *places))


def test_means_of_cells_repeat_the_border() -> None:
    ramp = torch.arange(6.0).expand(1, 3, 6)
    # Columns 0 to 3, then 4, 5, 5, 5; the missing row equals the last.
    assert mean_in_cells(ramp, 4).tolist() == [[[1.5, 4.75]]]
    vectors = torch.stack((ramp, -ramp), -1)
    assert mean_in_cells(vectors, 4).tolist() == [[[[1.5, -1.5], [4.75, -4.75]]]]


def test_a_smoothed_view_equals_opencv() -> None:
    found = SmoothedView.of(torch.from_numpy(IMAGES)).at(*map(torch.from_numpy, (X, Y)))  # type: ignore
    for number, (image, x, y) in enumerate(zip(IMAGES, X, Y, strict=True)):
        expected = SmoothedView.of(image.astype(np.uint8)).at(x, y)
        for part, other in zip(found, expected, strict=True):
            # Levels of 8 bits are whole numbers here and not there.
            np.testing.assert_allclose(part[number], other, atol=1.2)


def test_borders_by_hand() -> None:
    row = torch.tensor([[[1.0, 2.0, 3.0]]])
    assert pad_border(row, 2, mirrored=True)[0, 0].tolist() == [3, 2, 1, 2, 3, 2, 1]
    assert pad_border(row, 1, mirrored=False)[0, 2].tolist() == [1, 1, 2, 3, 3]
    # Far beyond narrow images the mirror images repeat.
    assert pad_border(row[..., :2], 3, mirrored=True)[0, 0].tolist() == [2, 1, 2, 1, 2, 1, 2, 1]
    assert pad_border(row[..., :1], 2, mirrored=True)[0, 0].tolist() == [1] * 5


def test_neighbours_share_the_memory_of_the_values() -> None:
    around, values = with_neighbours(torch.arange(6.0).view(1, 1, 2, 3))
    (above, right), (left, below) = (row.unbind(2) for row in around.unbind(2))
    assert above.flatten().tolist() == [0, 0, 0, 0, 1, 2]
    assert right.flatten().tolist() == [1, 2, 0, 4, 5, 0]
    assert left.flatten().tolist() == [0, 0, 1, 0, 3, 4]
    assert below.flatten().tolist() == [3, 4, 5, 0, 0, 0]
    values[0, 0, 0, 1] = 9
    assert right[0, 0, 0, 0] == left[0, 0, 0, 2] == above[0, 0, 1, 1] == 9


def test_medians_of_a_mask() -> None:
    values = torch.tensor([[5.0, 1.0, 9.0, 3.0], [1.0, 2.0, 3.0, 4.0]])
    mask = torch.tensor([[True, True, False, True], [False] * 4])
    assert masked_median(values, mask).tolist() == [3, 0]


def test_lines_of_a_batch_equal_single_ones() -> None:
    first = RNG.random((4, 400)).astype(np.float32)
    second = np.float32(0.8) * first + np.float32(0.1)
    second[0, :60] = 0.9  # outliers
    first[1], second[1] = 0.4, 0.5  # no contrast: the ratio of means
    first[2], second[2] = 0.0, 0.3  # black
    chosen = np.ones((4, 400), bool)
    chosen[3, 50:] = False  # too few points
    gains, offsets = fit_lines(*map(torch.from_numpy, (first, second, chosen)))
    expected = [
        fit_line(a[used], b[used]) for a, b, used in zip(first, second, chosen, strict=True)
    ]
    found = list(zip(gains.tolist(), offsets.tolist(), strict=True))
    np.testing.assert_allclose(found, expected, atol=2e-3)
