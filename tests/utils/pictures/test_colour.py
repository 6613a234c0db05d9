import numpy as np
import pytest
import torch
from torchvision.utils import flow_to_image

from utils.pictures.colour import draw_flow_sheet, draw_flow_wheel, flow_pictures, flow_scale

WHITE = [255, 255, 255]


def uniform(dx: float, dy: float, size: tuple[int, int] = (6, 8)) -> torch.Tensor:
    return torch.tensor([dx, dy])[:, None, None].expand(-1, *size).clone()


def test_one_scale_for_all_frames() -> None:
    flows = torch.stack([uniform(10, 0), uniform(5, 0), uniform(0, 0)])
    long, half, still = flow_pictures(flows)
    assert long.shape == (6, 8, 3) and long.dtype == np.uint8
    assert still[0, 0].tolist() == WHITE
    # Half the length: halfway to white.
    assert np.allclose(half[0, 0], (long[0, 0].astype(float) + 255) / 2, atol=1)
    # The same frame by itself, where its own length is the scale.
    assert np.array_equal(flow_pictures(flows[1:2])[0], long)
    assert np.array_equal(flow_pictures(flows[1:2], scale=10)[0], half)


def test_colours_are_torchvisions() -> None:
    flow = torch.randn(2, 9, 7, generator=torch.Generator().manual_seed(0))
    longest = float(flow.norm(dim=0).max())
    expected = flow_to_image(flow).permute(1, 2, 0).numpy()
    drawn = flow_pictures(flow[None], scale=longest)[0]
    assert np.abs(drawn.astype(int) - expected).max() <= 1


def test_opposite_directions_differ() -> None:
    right, left, down, up = (
        picture[0, 0].tolist()
        for picture in flow_pictures(
            torch.stack([uniform(4, 0), uniform(-4, 0), uniform(0, 4), uniform(0, -4)])
        )
    )
    assert len({tuple(colour) for colour in (right, left, down, up)}) == 4


def test_outliers_are_drawn_as_long_as_the_scale() -> None:
    flow = uniform(4, 0, (60, 60))
    flow[0, 3, 3] = 400
    assert flow_scale(flow[None]) == 4
    assert np.unique(flow_pictures(flow[None])[0].reshape(-1, 3), axis=0).shape == (1, 3)


def test_a_static_capture_stays_white() -> None:
    flows = 0.01 * torch.ones(2, 2, 6, 8)
    assert flow_scale(flows) == 1
    assert all(picture.min() >= 250 for picture in flow_pictures(flows))


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"flows must be \(T, 2, H, W\), got \(2, 3, 2, 6, 8\)"):
        flow_pictures(torch.zeros(2, 3, 2, 6, 8))


def test_the_wheel_shows_what_pictures_show() -> None:
    wheel = draw_flow_wheel(12, size=161)
    assert wheel.shape == (161, 161, 3)
    assert wheel[0, 0].tolist() == wheel[80, 80].tolist() == WHITE
    for dx, dy in ((50, 1), (50, -1), (-50, 1), (0, 70), (-10, -60)):
        near_rim = wheel[80 + dy, 80 + dx].astype(int)
        per_pixel = 12 / (161 / 2 - 8)
        drawn = flow_pictures(uniform(dx * per_pixel, dy * per_pixel)[None], scale=12)[0][0, 0]
        assert np.abs(near_rim - drawn).max() <= 4


def test_the_sheet_shows_every_flow_and_the_legend() -> None:
    flows = torch.stack([uniform(8, 0), uniform(-8, 0)])[None].repeat(3, 1, 1, 1, 1)
    sheet = draw_flow_sheet(flows, [0.0, 0.5, 1.0])
    assert sheet.dtype == np.uint8 and sheet.shape[1] == 1280
    for flow in flows[0]:
        colour = flow_pictures(flow[None])[0][0, 0]
        assert (sheet == colour).all(axis=2).sum() > 3 * 300 * 200
    last = sheet[-150:]
    assert len(np.unique(last.reshape(-1, 3), axis=0)) > 1000
