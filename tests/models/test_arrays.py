from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from data.camera_timing import CameraTiming
from data.files.images import read_image, to_uint8
from models import ArrayCorrection, load_correction
from models.inference.correction import Corrected
from tests.helpers.frames import classical_frames, network_frames
from tests.helpers.moving_clip import MovingClip, uniform
from utils.checkpoint import load_generator
from utils.errors import InputError

SAMPLES = sorted(Path("data/samples").rglob("*_t2b.*"))
README_EXAMPLE = """
import imageio.v3 as iio
from models import load_correction
correct = load_correction()
t2b, b2t = (iio.imread(f"{capture}_{view}.png") for view in ("t2b", "b2t"))
frames = correct(t2b, b2t, times=[0, 0.5, 1])
"""


def pair(dtype: str = "uint8", size: tuple[int, int] = (24, 40)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    largest = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    first, second = (rng.random((*size, 3)) * largest for _ in range(2))
    return first.astype(dtype), second.astype(dtype)


def test_equals_the_method_on_tensors() -> None:
    t2b = SAMPLES[0]
    views = [read_image(t2b), read_image(str(t2b).replace("_t2b", "_b2t"))]
    expected = classical_frames(torch.stack(views), [0.0, 0.5])
    frames = load_correction("classical")(*(to_uint8(view) for view in views), [0.0, 0.5])
    np.testing.assert_array_equal(frames, [to_uint8(frame) for frame in expected])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_frames_have_the_type_of_the_inputs(dtype: str) -> None:
    first, _ = pair(dtype)
    frames = load_correction("classical")(first, first, np.array([0.5]))
    assert frames.dtype == np.dtype(dtype) and frames.shape == (1, 24, 40, 3)
    tolerance = {"uint8": 0, "uint16": 1}.get(dtype, 1e-6)
    np.testing.assert_allclose(frames[0].astype(float), first.astype(float), atol=tolerance)


def test_bundled_weights_are_the_default() -> None:
    frames = load_correction(device="cpu")(*pair("float32"), [0, 0.3])
    bundled = load_generator("pretrained/drsc_light.safetensors")
    images = torch.from_numpy(np.stack(pair("float32"))).permute(0, 3, 1, 2)
    expected = network_frames(bundled, images, [0, 0.3]).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(frames, expected, atol=1e-6)


def test_a_self_ensemble_averages_both_ways() -> None:
    first, second = pair("float32")
    plain = load_correction("classical")
    backwards = plain(second[:, ::-1], first[:, ::-1], [0.75])[:, :, ::-1]
    frames = load_correction("classical", self_ensemble=True)(first, second, [0.25])
    np.testing.assert_allclose(frames, (plain(first, second, [0.25]) + backwards) / 2, atol=1e-6)


def moving_pairs(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    clip = MovingClip(uniform(5, 1), size=(48, 64))
    pairs = [clip.pair(number).permute(0, 2, 3, 1).numpy() for number in range(count)]
    return [(first, second) for first, second in pairs]


def test_a_clips_pairs_share_the_frames_between_them() -> None:
    pairs, times = moving_pairs(3), [0, 0.5, 1]
    correct = load_correction("classical")
    first, second, third = correct.clip(iter(pairs), times)
    assert first.shape == (3, 48, 64, 3) and first.dtype == np.float32
    np.testing.assert_array_equal(first[2], second[0])
    np.testing.assert_array_equal(second[2], third[0])
    np.testing.assert_array_equal(first[0], correct(*pairs[0], 0))
    singles = list(correct.clip(pairs, 0.5))
    np.testing.assert_array_equal(singles, [first[1], second[1], third[1]])
    assert list(correct.clip([], times)) == []


def test_the_self_ensemble_of_a_clip_shares_frames_too() -> None:
    first, second = load_correction("classical", self_ensemble=True).clip(moving_pairs(2), [0, 1])
    np.testing.assert_array_equal(first[1], second[0])


def test_a_clip_of_columns_is_turned_back() -> None:
    pairs = moving_pairs(2)
    turned = [(first.swapaxes(0, 1), second.swapaxes(0, 1)) for first, second in pairs]
    correct, timing = load_correction("classical"), CameraTiming(directions=("l2r", "r2l"))
    for made, other in zip(
        correct.clip(pairs, 1), correct.clip(turned, 1, timing=timing), strict=True
    ):
        np.testing.assert_array_equal(made, other.swapaxes(0, 1))


def test_a_clip_names_the_pairs_that_do_not_follow() -> None:
    other = MovingClip(uniform(-5, 2), size=(48, 64), seed=1).pair(1).permute(0, 2, 3, 1).numpy()
    told: list[tuple[int, str]] = []
    pairs = [*moving_pairs(1), (other[0], other[1])]
    correct = load_correction("classical")
    list(correct.clip(pairs, 0.5, on_break=lambda number, finding: told.append((number, finding))))
    assert [number for number, _ in told] == [1]


def test_bad_clips_are_refused() -> None:
    correct, pairs = load_correction("classical"), moving_pairs(2)
    with pytest.raises(ValueError, match="2"):
        correct.clip(pairs, [2])
    with pytest.raises(InputError, match="expected a NumPy array or a tensor, got str"):
        list(correct.clip([("left.png", "right.png")], [0.5]))  # type: ignore[list-item]
    narrow = [view[:, 1:] for view in pairs[1]]
    with pytest.raises(InputError, match=r"first image: .* like that of the first pair, got .*63"):
        list(correct.clip([pairs[0], (narrow[0], narrow[1])], [0.5]))


def test_timing_is_passed_on() -> None:
    seen = []

    def method(pair, times, *, scan_time=None, with_flows=False):
        seen.append((pair, scan_time))
        return Corrected(pair[:1])

    first, second = pair()
    timing = CameraTiming(readout_ratio=0.5, directions=("r2l", "l2r"))
    frames = ArrayCorrection(method)(first, second, [0.5], timing=timing)
    np.testing.assert_array_equal(frames[0], second)
    assert seen[0][0].shape == (2, 3, 40, 24)
    assert seen[0][1][[0, -1]].tolist() == [0.25, 0.75]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.zeros(4, np.uint8), np.zeros(4, np.uint8), r"first image: .*got \(4,\)"),
        (np.zeros((4, 5, 2), np.uint8), pair()[1], r"with 1, 3 or 4 channels, got \(4, 5, 2\)"),
        (np.zeros((0, 5, 3), np.uint8), pair()[1], r"expected pixels, got \(0, 5, 3\)"),
        (torch.zeros(24, 40, 3), pair()[1], r"colours first: image.permute\(2, 0, 1\)"),
        (torch.zeros(2, 24, 40, 3), pair()[1], r"second: images.permute\(0, 3, 1, 2\)"),
        (torch.zeros(3, 24, 40), pair()[1], r"expected \(3, 24, 40\) torch.float32 on cpu like"),
        (np.zeros((3, 9, 5), np.uint8), pair()[1], r"colours last: image.transpose\(1, 2, 0\)"),
        (
            np.zeros((2, 4, 5, 3), np.uint8),
            pair()[1],
            r"expected \(2, 4, 5, 3\) uint8 like the first",
        ),
        (pair()[0], pair("uint16")[0], "second image: expected .* uint8 like the first, got .*16"),
        (pair()[0], pair(size=(24, 41))[1], r"got \(24, 41, 3\)"),
        (pair("float32")[0] * 255, pair("float32")[1], r"expected values in \[0, 1\].*white=255$"),
        (
            pair("float32")[0] - 1,
            pair("float32")[1],
            r"expected values in \[0, 1\], got -0.99\d+ to",
        ),
        (pair("float32")[0] * np.nan, pair("float32")[1], r"in \[0, 1\], got NaN$"),
        (pair(size=(1, 9))[0], pair(size=(1, 9))[1], "at least 2 rows, got 1"),
        (pair()[0].astype(np.int32), pair()[1], "expected .* of uint8, uint16.* as white=255$"),
        (pair()[0] > 9, pair()[1], "expected integers or floats, got bool"),
        (Image.fromarray(pair()[0]), pair()[1], r"got Image; pass numpy.asarray\(image\)$"),
    ],
)
def test_other_images_are_refused(first: Any, second: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_correction("classical")(first, second, [0.5])


def test_what_is_no_array_is_refused() -> None:
    for image in ([[0]], "left.png"):
        with pytest.raises(InputError, match="expected a NumPy array or a tensor, got (l|s)"):
            load_correction("classical")(image, image, [0.5])  # type: ignore[arg-type]


def test_a_single_number_makes_a_single_frame() -> None:
    correct, images = load_correction("classical"), pair()
    frames = correct(*images, np.linspace(0, 1, 3))
    np.testing.assert_array_equal(correct(*images, 0.5), frames[1])
    np.testing.assert_array_equal(correct(*images, torch.tensor(0.5)), frames[1])
    assert correct(*images, [0.5]).shape == (1, 24, 40, 3)


def test_grey_images_make_grey_frames() -> None:
    correct, (first, second) = load_correction("classical"), (image[..., 0] for image in pair())
    coloured = correct(*(image[..., None].repeat(3, 2) for image in (first, second)), [0, 0.5])
    frames = correct(first, second, [0, 0.5])
    assert frames.shape == (2, 24, 40) and frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, coloured[..., 0])
    np.testing.assert_array_equal(
        correct(first[..., None], second[..., None], [0, 0.5]), frames[..., None]
    )


@pytest.mark.parametrize("times", ["now", None, [[0.5]], [0.5, "x"]])
def test_instants_that_are_no_numbers_are_refused(times: object) -> None:
    with pytest.raises((InputError, ValueError), match="times|instant"):
        load_correction("classical")(*pair(), times)  # type: ignore[arg-type]


def test_tensors_are_as_arrays_with_the_colours_first() -> None:
    correct, arrays = load_correction("classical"), pair()
    tensors = [torch.from_numpy(image).permute(2, 0, 1) for image in arrays]
    expected, frames = correct(*arrays, [0, 0.5]), correct(*tensors, torch.tensor([0, 0.5]))
    assert (frames.shape, frames.dtype, frames.device.type) == ((2, 3, 24, 40), torch.uint8, "cpu")
    np.testing.assert_array_equal(frames.permute(0, 2, 3, 1), expected)
    [whole, _] = correct.clip([(tensors[0], tensors[1])] * 2, 0.5)
    assert whole.shape == (3, 24, 40)


def test_frames_of_tensors_can_be_trained_on() -> None:
    images = torch.rand(2, 3, 24, 40, requires_grad=True)
    weight = torch.ones((), requires_grad=True)
    (load_correction("classical")(*images, 0.5) * weight).sum().backward()
    assert weight.grad is not None and images.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_tensors_of_any_precision(dtype: torch.dtype) -> None:
    images = torch.from_numpy(np.stack(pair("float32"))).permute(0, 3, 1, 2).to(dtype)
    correct = load_correction("classical")
    frames = correct(*images, [0.5])
    assert frames.dtype == dtype
    torch.testing.assert_close(frames, correct(*images.float(), [0.5]).to(dtype), rtol=0, atol=0)


def test_white_may_be_any_value() -> None:
    correct, (first, second) = load_correction("classical"), pair()
    expected = correct(first, second, [0.5])
    for dtype in ("int16", "int64", ">i4", "uint32"):
        frames = correct(first.astype(dtype), second.astype(dtype), [0.5], white=255)
        assert frames.dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(frames, expected)
    floats = correct(first.astype(float), second.astype(float), [0.5], white=255)
    np.testing.assert_allclose(floats, expected, atol=0.501)
    largest = np.full((4, 5), 2**32 - 1, np.uint32)
    np.testing.assert_array_equal(correct(largest, largest, 0.5, white=2**32 - 1), largest)
    with pytest.raises(
        InputError, match=r"first image: expected values in \[0, 99\], got 0 to 254"
    ):
        correct(first, second, [0.5], white=99)
    for white in (0, 256, np.nan, np.inf):
        with pytest.raises(InputError, match="white: expected a value that uint8 can hold, above"):
            correct(first, second, [0.5], white=white)


def test_several_captures_are_corrected_one_by_one() -> None:
    correct = load_correction("classical")
    first, second = (np.stack([image, image[::-1]]) for image in pair())
    frames = correct(first, second, [0, 0.5])
    assert frames.shape == (2, 2, 24, 40, 3)
    for views, made in zip(zip(first, second, strict=True), frames, strict=True):
        np.testing.assert_array_equal(made, correct(*views, [0, 0.5]))
    np.testing.assert_array_equal(correct(first, second, 0.5), frames[:, 1])
    tensors = [torch.from_numpy(views).permute(0, 3, 1, 2) for views in (first, second)]
    assert correct(*tensors, 0.5).shape == (2, 3, 24, 40)
    with pytest.raises(InputError, match="expected one image per pair of a clip, got"):
        list(correct.clip([(first, second)], 0.5))


def test_alpha_is_left_out() -> None:
    correct, images = load_correction("classical"), pair()
    with_alpha = [np.dstack([image, image[..., 0]]) for image in images]
    np.testing.assert_array_equal(correct(*with_alpha, [0.5]), correct(*images, [0.5]))


def test_threads_share_a_correction() -> None:
    correct = load_correction(device="cpu")
    captures = [pair("float32", (40 + 8 * number, 48)) for number in range(4)]
    alone = [correct(*views, [0, 0.5]) for views in captures]
    with ThreadPoolExecutor(2) as pool:
        together = [*pool.map(lambda views: correct(*views, [0, 0.5]), captures)]
    for frames, expected in zip(together, alone, strict=True):
        np.testing.assert_array_equal(frames, expected)


def test_an_unknown_device_is_one_line() -> None:
    with pytest.raises(
        InputError, match="^device: expected one of auto, cuda, mps, cpu, got 'gpu'$"
    ):
        load_correction(device="gpu")


def test_the_readmes_five_lines() -> None:
    assert README_EXAMPLE.strip() in Path("README.md").read_text(encoding="utf-8")
    capture = str(SAMPLES[0]).removesuffix("_t2b.png")
    variables = {"capture": capture}
    exec(README_EXAMPLE, variables)
    frames = variables["frames"]
    height, width = read_image(SAMPLES[0]).shape[1:]
    assert (frames.shape, frames.dtype) == ((3, height, width, 3), np.uint8)


def test_unknown_names_of_the_package_are_errors() -> None:
    import models

    with pytest.raises(AttributeError, match="no attribute 'load_corection'"):
        _ = models.load_corection


def test_blending_is_passed_on_and_checked() -> None:
    first, second = pair("float32")
    frames = load_correction("classical", blending="average")(first, second, [0.5])
    tensors = torch.stack([torch.from_numpy(view).permute(2, 0, 1) for view in (first, second)])
    expected = classical_frames(tensors, [0.5], blending="average")
    np.testing.assert_array_equal(frames, expected.permute(0, 2, 3, 1).numpy())
    with pytest.raises(InputError, match="blending: expected 'choose' or 'average', got 'mean'"):
        load_correction("classical", blending="mean")  # type: ignore[arg-type]


def test_the_motion_estimate_is_passed_on_and_checked() -> None:
    first, second = pair("float32")
    tensors = torch.stack([torch.from_numpy(view).permute(2, 0, 1) for view in (first, second)])
    made = load_correction("classical", motion_estimate="torch")(first, second, [0.25])
    expected = classical_frames(tensors, [0.25], motion_estimate="torch")
    np.testing.assert_array_equal(made, expected.permute(0, 2, 3, 1).numpy())
    by_torch, by_opencv = (
        next(iter(load_correction("classical", motion_estimate=estimate).clip(moving_pairs(2), 1)))
        for estimate in ("torch", "auto")
    )
    assert 0 < np.abs(np.asarray(by_torch) - np.asarray(by_opencv)).mean() < 0.01
    expected_line = "motion_estimate: expected 'auto', 'opencv' or 'torch', got 'gpu'"
    with pytest.raises(InputError, match=expected_line):
        load_correction(motion_estimate="gpu")  # type: ignore[arg-type]
