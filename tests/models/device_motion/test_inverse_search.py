"""Flow search on tensors, against known shifts and OpenCV's DIS."""

import numpy as np
import pytest
import torch

from models.device_motion.inverse_search import search_flows
from models.device_motion.variational import refine_by_energy
from models.flow.dis import search_flow
from tests.helpers.moving_texture import smooth_texture


@pytest.mark.parametrize("shift", [(3, -2), (-12, 5), (0, 0)])
def test_a_shift_is_found(shift: tuple[int, int]) -> None:
    texture = torch.from_numpy(255 * smooth_texture((80, 112))[..., 0])[None]
    moved = texture.roll((shift[1], shift[0]), (1, 2))
    flow = search_flows(texture, moved)[0, 24:-24, 24:-24]
    expected = torch.tensor(shift, dtype=torch.float32)
    torch.testing.assert_close(flow.flatten(0, 1).median(0).values, expected, atol=0.2, rtol=0)


def test_flow_spreads_from_patch_to_patch() -> None:
    """A shift that few patches find by descent alone; OpenCV's flow errs by 6 px."""
    texture = torch.from_numpy(255 * smooth_texture((160, 224))[..., 0])[None]
    flow = search_flows(texture, texture.roll((9, -20), (1, 2)))[0, 34:-34, 34:-34]
    assert (flow - torch.tensor((-20.0, 9.0))).norm(dim=-1).mean() < 0.5


def test_flow_agrees_with_opencv() -> None:
    """A picture that turns and grows: every place has another flow."""
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(128.0), indexing="ij")
    across, down = x - 64, y - 48
    flow = torch.stack((0.04 * across - 0.05 * down + 3, 0.05 * across + 0.04 * down - 2), -1)
    texture = torch.from_numpy(255 * smooth_texture((96, 128))[..., 0])[None, None]
    place = torch.stack((2 * (x + flow[..., 0]) / 127 - 1, 2 * (y + flow[..., 1]) / 95 - 1), -1)
    first = torch.nn.functional.grid_sample(
        texture, place[None], padding_mode="border", align_corners=True
    )
    images = [image[0, 0].round() for image in (first, texture)]
    found = search_flows(images[0][None], images[1][None])[0]
    by_opencv = search_flow(*(image.numpy().astype(np.uint8) for image in images))
    inner = slice(16, -16), slice(16, -16)
    assert (found - flow)[inner].norm(dim=-1).mean() < 0.3
    assert (found[inner] - torch.from_numpy(by_opencv)[inner]).norm(dim=-1).mean() < 0.2


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 40), (33, 9)])
def test_any_size_has_flow(height: int, width: int) -> None:
    images = torch.rand(2, 2, height, width, generator=torch.Generator().manual_seed(0)) * 255
    flow = search_flows(*images)
    assert flow.shape == (2, height, width, 2) and flow.isfinite().all()


def test_refinement_removes_an_error_and_keeps_what_is_right() -> None:
    texture = torch.from_numpy(255 * smooth_texture((48, 64))[..., 0])[None, None]
    zero = torch.zeros(1, 2, 48, 64)
    kept = refine_by_energy(texture, texture, zero)
    assert kept.abs().max() < 1e-4
    wrong = zero.clone()
    wrong[:, 0, 20:26, 30:36] = 0.8
    better = refine_by_energy(texture, texture, wrong)
    assert better.abs().sum() < 0.6 * wrong.abs().sum()
