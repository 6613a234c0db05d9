import warnings

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor

from data.capture import CapturePair
from data.simulator.drawing import draw_scene
from data.simulator.settings import SceneSettings
from data.time_maps import scan_time
from models.classical import correction as classical
from models.classical.correction import view_weight
from models.classical.field import Exposed
from models.inference.correction import correct_classically
from models.measurement.parallax import Parallax
from models.parts.settings import Blending
from tests.helpers.frames import classical_frames, psnr
from tests.helpers.moving_texture import Pan, smooth_texture
from utils.errors import InputError

TIMES = [0.0, 0.5, 1.0]
SETTINGS = {
    "height": 160,
    "width": 224,
    "camera_motion": 14.0,
    "object_motion": 20.0,
    "acceleration": 2.0,
}


def simulate(seed: int, *, parallax: tuple[float, float] = (0.0, 0.0)) -> CapturePair:
    photos = (skimage.data.astronaut(), skimage.data.coffee())
    textures = [torch.from_numpy(photo).permute(2, 0, 1) for photo in photos]
    settings = SceneSettings(**SETTINGS, parallax=parallax)  # type: ignore[arg-type]
    return draw_scene(textures, settings, seed).capture(torch.tensor(TIMES))


def truth(capture: CapturePair) -> Tensor:
    assert capture.truth is not None
    return capture.truth


def turn(image: Tensor, degrees: float) -> Tensor:
    """An image (3, H, W) turned about its centre."""
    height, width = image.shape[-2:]
    turning = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    pixels = image.permute(1, 2, 0).numpy()
    turned = cv2.warpAffine(
        pixels, turning, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return torch.from_numpy(turned).permute(2, 0, 1).clamp(0, 1)


def test_rendering_in_strips_gives_the_same_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = simulate(1).pair
    whole = classical_frames(pair, TIMES)
    monkeypatch.setattr(classical, "_STRIP", 30 * 224)
    assert torch.equal(classical_frames(pair, TIMES), whole)


def nearest_view(pair: Tensor, blending: Blending) -> Tensor:
    """Distance (H, W) of the frame at t = 0 to the nearer of both views sampled along its flows."""
    made = correct_classically(pair, [0.0], with_flows=True, blending=blending)
    assert made.flows is not None
    y, x = np.mgrid[: pair.shape[-2], : pair.shape[-1]].astype(np.float32)
    distances = []
    for view, (dx, dy) in zip(pair, made.flows[0].numpy(), strict=True):
        pixels = view.permute(1, 2, 0).numpy().copy()
        sampled = cv2.remap(pixels, x + dx, y + dy, cv2.INTER_CUBIC)
        shown = torch.from_numpy(np.asarray(sampled, np.float32)).permute(2, 0, 1).clamp(0, 1)
        distances.append((made.frames[0] - shown).abs().amax(0))
    return torch.minimum(*distances)


def test_what_one_view_shows_only_is_not_half_transparent() -> None:
    pair = with_object_in_one_view()
    where = slice(42, 54), slice(100, 112)
    assert nearest_view(pair, "choose")[where].max() < 0.002
    # There the views were exposed 0.3 and 0.7 after the frame: weights 0.84 and 0.16.
    assert nearest_view(pair, "average")[where].min() > 0.04


def test_no_view_is_chosen_where_both_are_equally_near() -> None:
    pair = with_object_in_one_view()
    chosen, averaged = (
        classical_frames(pair, [0.0, 0.5], blending=blending) for blending in ("choose", "average")
    )
    difference = (chosen - averaged).abs().amax(1)
    assert difference[0].max() > 0.1
    assert difference[1].max() < 1e-6
    middle = slice(74, 86)  # exposed at nearly the same time
    assert difference[0, middle].max() < 1e-6


def test_needed_rows_and_a_known_motion_give_the_same_choice() -> None:
    pair = with_object_in_one_view()
    whole, motion = classical.correct_with_field(pair, [0.0])
    rows = torch.zeros(1, 160, dtype=torch.bool)
    rows[:, 40:60] = True
    part, _ = classical.correct_with_field(pair, [0.0], rows=rows, motion=motion)
    assert torch.equal(part[0, :, 40:60], whole[0, :, 40:60])


def with_object_in_one_view() -> Tensor:
    """A capture (2, 3, 160, 224) at rest; b2t shows a light square, t2b does not."""
    view = 0.6 * torch.from_numpy(smooth_texture((160, 224))).permute(2, 0, 1)
    pair = view.repeat(2, 1, 1, 1)
    pair[1, :, 40:56, 98:114] += 0.4
    return pair


def test_a_scene_at_rest_is_reproduced() -> None:
    image = torch.from_numpy(smooth_texture((45, 62))).permute(2, 0, 1)
    frames = classical_frames(image.expand(2, -1, -1, -1), TIMES)
    torch.testing.assert_close(frames, image.expand(3, -1, -1, -1), atol=1e-3, rtol=0)


def test_a_pan_is_corrected() -> None:
    pan, inner = Pan((9, 0), (96, 128)), np.s_[:, 8:-8, 12:-12]
    pair = pan.pair()
    # The mean of the inputs has 20 dB at the ends and 25 dB at 0.3.
    for t, expected in ((0.0, 33), (0.3, 45), (1.0, 33)):
        true = torch.from_numpy(pan.frame(t)).permute(2, 0, 1)
        assert psnr(classical_frames(pair, [t])[0][inner], true[inner]) > expected


@pytest.mark.parametrize("seed", [1, 3, 5])
def test_simulated_scenes_gain_over_the_mean_of_the_inputs(seed: int) -> None:
    capture = simulate(seed)
    frames = classical_frames(capture.pair, TIMES)
    gains = [
        psnr(frame, true) - psnr(capture.pair.mean(0), true)
        for frame, true in zip(frames, truth(capture), strict=True)
    ]
    assert min(gains) > 5


def neglect_parallax(monkeypatch: pytest.MonkeyPatch) -> None:
    neglected = Parallax.none(width=1)
    monkeypatch.setattr("models.classical.estimation.estimate_parallax", lambda *_: neglected)
    monkeypatch.setattr(
        "models.classical.estimation.refine_camera_motion", lambda motion, *_: (motion, neglected)
    )


def band_scores(pair: Tensor, true: Tensor) -> list[float]:
    """PSNR of the frame at t = 0 above mid-height, there, and below it."""
    error = (classical_frames(pair, [0.0])[0] - true)[:, :, 16:-16]
    bands = np.split(np.arange(error.shape[1]), (64, 96))
    return [psnr(error[:, rows], torch.tensor(0.0)) for rows in bands]


@pytest.mark.parametrize("parallax", [(3.0, 0.0), (6.0, -2.0), (-10.0, 0.0), (0.7, 0.0)])
def test_parallax_leaves_no_torn_band_at_mid_height(
    parallax: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = simulate(1, parallax=parallax)
    above, middle, below = band_scores(capture.pair, truth(capture)[0])
    assert middle > min(above, below) - 2
    neglect_parallax(monkeypatch)
    assert band_scores(capture.pair, truth(capture)[0])[1] < middle - 3


def test_cameras_turned_against_each_other_leave_no_torn_band(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    capture = simulate(5)
    turned = torch.stack([turn(capture.t2b, -0.5), turn(capture.b2t, 0.5)])
    middle = band_scores(turned, truth(capture)[0])[1]
    neglect_parallax(monkeypatch)
    assert band_scores(turned, truth(capture)[0])[1] < middle - 3


def test_exchanged_views_reverse_time() -> None:
    pair = simulate(1).pair
    forwards, backwards = (
        classical_frames(pair, [0.0, 0.3]),
        classical_frames(pair.flip(0), [1.0, 0.7]),
    )
    assert psnr(forwards, backwards) > 60


def test_a_vertical_flip_exchanges_the_views() -> None:
    pair = simulate(3).pair
    turned = classical_frames(pair.flip(0, -2), TIMES).flip(-2)
    assert psnr(classical_frames(pair, TIMES), turned) > 40


def test_the_scan_time_of_a_crop_is_used() -> None:
    capture = simulate(1)
    rows = slice(0, 80)
    crop, true = capture.pair[..., rows, :], truth(capture)[0, ..., rows, :]
    exact = classical_frames(crop, [0.0], scan_time=scan_time(160)[rows])[0]
    mistaken = classical_frames(crop, [0.0])[0]
    inner = np.s_[:, 8:-8, 12:-12]
    assert psnr(exact[inner], true[inner]) > psnr(mistaken[inner], true[inner]) + 3
    whole = classical_frames(crop, [0.3], scan_time=scan_time(80))
    assert torch.equal(whole, classical_frames(crop, [0.3]))


def test_frames_do_not_depend_on_the_other_times() -> None:
    pair = simulate(3).pair
    together = classical_frames(pair, [1.0, 0.25, 0.25])
    assert torch.equal(together[1], together[2])
    assert torch.equal(together[0], classical_frames(pair, [1.0])[0])


@pytest.mark.parametrize("size", [(2, 1), (3, 5), (7, 7), (15, 16), (17, 33), (40, 1), (96, 130)])
def test_any_size_gives_finite_frames_without_warnings(size: tuple[int, int]) -> None:
    pair = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frames = classical_frames(pair, TIMES)
    assert frames.shape == (3, 3, *size) and frames.dtype == torch.float32
    assert frames.isfinite().all() and frames.min() >= 0 and frames.max() <= 1


@pytest.mark.parametrize("ratio", [0.5, 0.02])
def test_the_duration_of_the_readout_does_not_matter(ratio: float) -> None:
    pair = simulate(1).pair
    expected = classical_frames(pair, TIMES)
    shorter = 0.5 + (scan_time(160) - 0.5) * ratio
    times = [0.5 + (t - 0.5) * ratio for t in TIMES]
    frames = classical_frames(pair, times, scan_time=shorter)
    assert psnr(frames, expected) > 60


def test_weights_of_views_by_hand() -> None:
    x = np.array(((5, 5, 12),), np.float32)
    y = np.zeros_like(x)
    view = Exposed(x, y, np.array(((0.0, -0.1, 0.1),), np.float32), np.zeros_like(x))
    weight = view_weight(view, (8, 12), noise=0.0)[0]
    # 1 / (0 + 0.01^2), 1 / (0.1^2 + 0.01^2), and that one pixel beyond the last column.
    expected = (1e4, 1 / 0.0101, np.exp(-2) / 0.0101)
    np.testing.assert_allclose(weight, expected, rtol=1e-4)
    # Noise of 0.05 counts like a distance of one readout.
    noisy = view_weight(view, (8, 12), noise=0.05)[0]
    np.testing.assert_allclose(noisy[:2], (1 / 1.0001, 1 / 1.0101), rtol=1e-4)


def test_noise_is_averaged_over_both_views() -> None:
    clean = torch.from_numpy(smooth_texture((96, 128))).permute(2, 0, 1) * 0.6 + 0.2
    noise = 0.05 * torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    frame = classical_frames(clean + noise, [0.0])[0]
    # Near the top t2b is exposed at t = 0, b2t a readout later: t2b alone would keep its noise.
    left = (frame - clean)[:, 8:24, 8:-8].std() / noise.std()
    assert 0.5 < left < 0.8


def test_a_single_row_is_refused_with_the_reason() -> None:
    with pytest.raises(InputError, match="1 row x 9 columns have no rolling shutter"):
        classical_frames(torch.rand(2, 3, 1, 9), [0.5])


def test_impossible_arguments_are_refused() -> None:
    pair = torch.rand(2, 3, 8, 8)
    with pytest.raises(ValueError, match=r"pair must be \(2, 3, H, W\), got \(3, 3, 8, 8\)"):
        classical_frames(torch.rand(3, 3, 8, 8), [0.5])
    for times in ([], [0.5, 1.01]):
        with pytest.raises(ValueError, match=r"expected instants in \[0, 1\]"):
            classical_frames(pair, times)
    with pytest.raises(ValueError, match=r"scan_time must be \(8,\), got \(9,\)"):
        classical_frames(pair, [0.5], scan_time=scan_time(9))
    for scan in (torch.full((8,), 0.5), torch.full((8,), torch.nan)):
        with pytest.raises(ValueError, match=r"differ between the ends, got (0.5|nan) to"):
            classical_frames(pair, [0.5], scan_time=scan)
