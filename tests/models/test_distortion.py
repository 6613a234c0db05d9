from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from data.time_maps import scan_time
from models.distortion import rebuild
from models.flow_pwc import PWCNet
from models.reference.formula_weights import fill_by_formula

REFERENCES = Path(__file__).parents[1] / "references"

# Frames (among those at 0, t, 1) that the six flows join, in their order.
FLOW_ENDS = ((0, 2), (2, 0), (0, 1), (1, 0), (1, 2), (2, 1))


def scan_map(height, width, *, batch=1):
    return scan_time(height).reshape(1, 1, height, 1).expand(batch, 1, height, width)


def constant_flows(velocity, t, height, width):
    """(1, 6, 2, H, W): flows of a scene moving by `velocity` pixels over the readout."""
    instants = (0.0, t, 1.0)
    spans = torch.tensor([instants[end] - instants[start] for start, end in FLOW_ENDS])
    flows = spans[:, None] * torch.tensor(velocity)
    return flows[None, :, :, None, None].expand(1, 6, 2, height, width).contiguous()


def affine_scene(instant, velocity, height, width):
    """(1, 3, H, W) colours linear in position, moved by `velocity` times `instant` (or a map)."""
    x = torch.arange(width, dtype=torch.float64) - velocity[0] * instant
    y = torch.arange(height, dtype=torch.float64)[:, None] - velocity[1] * instant
    slopes = ((0.02, 0.0, 0.1), (0.0, 0.03, 0.2), (-0.01, 0.02, 0.5))
    return torch.stack([a * x + b * y + c for a, b, c in slopes]).float()[None]


def test_equal_frames_without_motion_rebuild_to_themselves():
    image = torch.rand(2, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    frames = image[:, None].expand(-1, 3, -1, -1, -1)
    t = torch.tensor([0.25, 0.7])
    rebuilt = rebuild(frames, torch.zeros(2, 6, 2, 7, 9), scan_map(7, 9, batch=2), t, "aligned")
    both = image[:, None].expand(-1, 2, -1, -1, -1)
    assert torch.equal(rebuilt.whole, both)
    assert torch.equal(rebuilt.split, both)
    assert rebuilt.whole_valid.shape == (2, 2, 1, 7, 9)
    assert rebuilt.whole_valid.eq(1).all()
    assert rebuilt.split_valid.eq(1).all()


def test_frames_without_motion_are_blended_by_exposure():
    # Colours 0, 8 and 2 at the instants 0, 1/4 and 1; five rows exposed at 0, 1/4, 1/2, 3/4, 1.
    frames = torch.tensor([0.0, 8.0, 2.0]).reshape(1, 3, 1, 1, 1).expand(1, 3, 3, 5, 2)
    t = torch.tensor([0.25])
    rebuilt = rebuild(frames, torch.zeros(1, 6, 2, 5, 2), scan_map(5, 2), t, "aligned")
    whole = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0])
    split = torch.tensor([0.0, 8.0, 6.0, 4.0, 2.0])
    for scan, turn in ((0, lambda rows: rows), (1, lambda rows: rows.flip(0))):
        column = turn(whole)[None, :, None].expand(3, 5, 2)
        torch.testing.assert_close(rebuilt.whole[0, scan], column)
        column = turn(split)[None, :, None].expand(3, 5, 2)
        torch.testing.assert_close(rebuilt.split[0, scan], column)


@pytest.mark.parametrize("velocity", [(6.0, 0.0), (-5.0, 3.0)])
@pytest.mark.parametrize("t", [0.0, 0.3, 0.5, 1.0])
def test_constant_motion_rebuilds_the_analytic_images(velocity, t):
    height, width = 24, 32
    instants = (0.0, t, 1.0)
    frames = [affine_scene(instant, velocity, height, width) for instant in instants]
    flows = constant_flows(velocity, t, height, width)
    s = scan_map(height, width)
    rebuilt = rebuild(torch.stack(frames, dim=1), flows, s, torch.tensor([t]), "aligned")
    row_times = scan_time(height).double()[:, None]
    t2b = affine_scene(row_times, velocity, height, width)
    b2t = affine_scene(1 - row_times, velocity, height, width)
    expected = torch.stack((t2b, b2t), dim=1)
    inner = (..., slice(7, -7), slice(7, -7))
    torch.testing.assert_close(rebuilt.whole[inner], expected[inner], rtol=0, atol=1e-5)
    torch.testing.assert_close(rebuilt.split[inner], expected[inner], rtol=0, atol=1e-5)
    assert rebuilt.whole_valid[inner].eq(1).all()
    assert rebuilt.split_valid[inner].eq(1).all()


@pytest.mark.parametrize("t", [0.0, 1.0])
@pytest.mark.parametrize("sampling", ["aligned", "released"])
def test_at_the_ends_split_is_finite_and_equals_whole(t, sampling):
    generator = torch.Generator().manual_seed(1)
    first, last = torch.rand(2, 1, 3, 9, 12, generator=generator)
    there, back = 2 * torch.randn(2, 1, 2, 9, 12, generator=generator)
    rest = torch.zeros_like(there)
    frames = torch.stack((first, first if t == 0 else last, last), dim=1)
    legs = (rest, rest, there, back) if t == 0 else (there, back, rest, rest)
    flows = torch.stack((there, back, *legs), dim=1).requires_grad_()
    rebuilt = rebuild(frames, flows, scan_map(9, 12), torch.tensor([t]), sampling)
    assert all(field.isfinite().all() for field in rebuilt)
    torch.testing.assert_close(rebuilt.split, rebuilt.whole)
    (rebuilt.whole.sum() + rebuilt.split.sum()).backward()
    assert flows.grad.isfinite().all()


def test_released_sampling_blacks_out_the_outermost_ring():
    frames = torch.ones(1, 3, 3, 6, 8)
    still = torch.zeros(1, 6, 2, 6, 8)
    rebuilt = rebuild(frames, still, scan_map(6, 8), torch.tensor([0.5]), "released")
    expected = torch.zeros(6, 8)
    expected[1:-1, 1:-1] = 1
    # The first and last row are exposed at an end of a leg and still sample only black there.
    torch.testing.assert_close(rebuilt.whole, expected.expand(1, 2, 3, 6, 8))
    torch.testing.assert_close(rebuilt.split, expected.expand(1, 2, 3, 6, 8))


def test_pixels_from_outside_a_frame_are_invalid_unless_they_take_nothing_from_it():
    height, width = 5, 12
    flows = constant_flows((4.0, 0.0), 0.5, height, width)
    frames = torch.rand(1, 3, 3, height, width)
    rebuilt = rebuild(frames, flows, scan_map(height, width), torch.tensor([0.5]), "aligned")
    # Exposed at s, a pixel is at x - 4s in the first frame and at x + 4(1 - s) in the last.
    x = torch.arange(width)
    s = scan_time(height)[:, None]
    inside = ((x - 4 * s >= 0) | (s == 1)) & ((x + 4 * (1 - s) <= width - 1) | (s == 0))
    assert torch.equal(rebuilt.whole_valid[0, 0, 0].bool(), inside)
    assert torch.equal(rebuilt.whole_valid[0, 1, 0].bool(), inside.flip(0))


def test_gradients_reach_frames_and_flows():
    generator = torch.Generator().manual_seed(5)
    frames = torch.rand(1, 3, 3, 3, 3, dtype=torch.float64, generator=generator)
    flows = torch.randn(1, 6, 2, 3, 3, dtype=torch.float64, generator=generator)
    t = torch.tensor([0.4], dtype=torch.float64)
    s = torch.tensor([0.1, 0.45, 0.83], dtype=torch.float64).reshape(1, 1, 3, 1).expand(1, 1, 3, 3)

    def images(frames, flows):
        rebuilt = rebuild(frames, flows, s, t, "aligned")
        return rebuilt.whole, rebuilt.split

    inputs = (frames.requires_grad_(), flows.requires_grad_())
    assert torch.autograd.gradcheck(images, inputs, fast_mode=True)


@cache
def flow_by_formula(seed):
    flow = PWCNet("released").requires_grad_(False)
    fill_by_formula(flow, seed, 2**0.5)
    return flow


@pytest.mark.parametrize("step", ["stage1_step", "stage2_step"])
def test_released_rebuilt_images(step):
    reference = np.load(REFERENCES / f"{step}.npz")
    frames = torch.from_numpy(reference["frames"])
    height, width = frames.shape[-2:]
    flow = flow_by_formula(int(reference["seed"]))
    flows = torch.stack([flow(frames[:, start], frames[:, end]) for start, end in FLOW_ENDS], dim=1)
    border = int(reference["diff_patch"]) // 2
    tops = (int(top) + border for top in reference["tops"])
    rows = [scan_time(int(reference["height"]), rows=height, top=top) for top in tops]
    s = torch.stack(rows)[:, None, :, None].expand(-1, 1, height, width)
    t = torch.from_numpy(reference["indices"]) / 8
    rebuilt = rebuild(frames, flows, s, t, "released")
    for scan, name in enumerate(("t2b", "b2t")):
        for image, released in ((rebuilt.whole, name), (rebuilt.split, f"{name}_mid")):
            error = np.abs(image[:, scan].numpy() - reference[released])
            assert error.mean() < 1e-4, released


@pytest.mark.parametrize(
    ("name", "shape"),
    [("flows", (1, 6, 2, 4, 6)), ("scan_time", (1, 1, 4, 1)), ("t", (2,)), ("t", ())],
)
def test_refuses_shapes_that_do_not_fit(name, shape):
    inputs = {
        "frames": torch.zeros(1, 3, 3, 4, 5),
        "flows": torch.zeros(1, 6, 2, 4, 5),
        "scan_time": torch.zeros(1, 1, 4, 5),
        "t": torch.zeros(1),
    }
    inputs[name] = torch.zeros(shape)
    with pytest.raises(ValueError, match=f"^{name} must be "):
        rebuild(**inputs, sampling="aligned")


def test_refuses_instants_outside_the_readout():
    frames, flows = torch.zeros(1, 3, 3, 4, 5), torch.zeros(1, 6, 2, 4, 5)
    with pytest.raises(ValueError, match=r"instants must lie in \[0, 1\]"):
        rebuild(frames, flows, scan_map(4, 5), torch.tensor([1.5]), "aligned")
