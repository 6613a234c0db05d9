import numpy as np
import pytest

from models.classical.smoothing import affinity, diffuse, edge_weight


def test_affinity_by_hand() -> None:
    image = np.zeros((2, 3, 3), np.float32)
    image[:, 2] = 1
    across, down = affinity(image)
    # 0.02 (1 + 0.02) within a colour, 0.02 * 0.02 from black to white.
    np.testing.assert_allclose(across, [[0.0204, 0.0004]] * 2, rtol=1e-5)
    np.testing.assert_allclose(down, [[0.0204] * 3], rtol=1e-5)
    image[:, 1, 0] = 0.06  # by one standard deviation of the colours
    assert affinity(image)[0][0, 0] == pytest.approx(0.02 * (np.exp(-0.5) + 0.02), rel=1e-5)


def test_huber_weights_of_steps_by_hand() -> None:
    field = np.zeros((2, 4, 2), np.float32)
    field[:, 1] = (0.6, 0.8)  # a step of 1 and back
    field[:, 3] = (3, -4)
    np.testing.assert_allclose(edge_weight(field, axis=1), [[1, 1, 0.2]] * 2, rtol=1e-6)
    np.testing.assert_array_equal(edge_weight(field, axis=0), np.ones((1, 4)))


def test_diffusion_solves_the_normal_equations() -> None:
    rng = np.random.default_rng(0)
    height, width = 4, 5
    weight = rng.uniform(0, 1, (height, width)).astype(np.float32)
    target = rng.normal(size=(height, width, 2)).astype(np.float32)
    along_x = rng.uniform(0, 1, (height, width - 1)).astype(np.float32)
    along_y = rng.uniform(0, 1, (height - 1, width)).astype(np.float32)
    matrix = np.diag(weight.reshape(-1).astype(np.float64))
    cells = np.arange(height * width).reshape(height, width)
    edges = [*zip(cells[:, :-1].flat, cells[:, 1:].flat, along_x.flat, strict=True)]
    edges += zip(cells[:-1].flat, cells[1:].flat, along_y.flat, strict=True)
    for first, second, strength in edges:
        step = np.zeros(height * width)
        step[first], step[second] = 1, -1
        matrix += strength * np.outer(step, step)
    expected = np.linalg.solve(matrix, target.reshape(-1, 2)).reshape(target.shape)
    start = rng.normal(size=target.shape).astype(np.float32)
    found = diffuse(weight, target, along_x, along_y, start)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_cells_without_evidence_are_interpolated() -> None:
    weight = np.zeros((1, 3), np.float32)
    weight[0, ::2] = 1
    target = np.zeros((1, 3, 2), np.float32)
    target[0, 0], target[0, 2] = 2, 4
    firm = np.full((1, 2), 1e-3, np.float32)
    found = diffuse(weight, target, firm, np.zeros((0, 3), np.float32), np.zeros_like(target))
    np.testing.assert_allclose(found[0, :, 0], (2, 3, 4), atol=2e-3)


def test_a_single_cell_without_evidence_stays_at_rest() -> None:
    nothing = np.zeros((1, 1), np.float32)
    edges = np.zeros((1, 0), np.float32), np.zeros((0, 1), np.float32)
    found = diffuse(
        nothing, np.zeros((1, 1, 2), np.float32), *edges, np.zeros((1, 1, 2), np.float32)
    )
    assert not found.any()
