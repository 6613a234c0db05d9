import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from data.files.images import read_image, to_levels, to_uint8, write_image
from tests.helpers.capture_folders import as_image, random_pixels
from utils.errors import InputError

PIXELS = random_pixels("image", (7, 5))
PIXELS_16 = np.random.default_rng(0).integers(0, 65536, (7, 5, 3), dtype=np.uint16)


def save(path, array):
    assert cv2.imwrite(str(path), array)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm"])
def test_colour_is_read_as_rgb(tmp_path, suffix):
    path = save(tmp_path / f"image.{suffix}", PIXELS[..., ::-1])
    assert torch.equal(read_image(path), as_image(PIXELS))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_kept(tmp_path, suffix):
    image = read_image(save(tmp_path / f"image.{suffix}", PIXELS_16[..., ::-1]))
    assert image.dtype == torch.float32
    levels = (image * 65535).round().permute(1, 2, 0).numpy()
    assert np.array_equal(levels, PIXELS_16)


@pytest.mark.parametrize("pixels", [PIXELS, PIXELS_16])
def test_grey_is_repeated(tmp_path, pixels):
    image = read_image(save(tmp_path / "image.png", pixels[..., 0]))
    expected = torch.from_numpy(pixels[..., 0].astype(np.float32)) / np.iinfo(pixels.dtype).max
    assert torch.equal(image, expected.expand(3, -1, -1))


def test_alpha_is_dropped(tmp_path):
    transparent = np.dstack((PIXELS[..., ::-1], np.zeros((7, 5), np.uint8)))
    image = read_image(save(tmp_path / "image.png", transparent))
    assert torch.equal(image, as_image(PIXELS))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_smallest_images(tmp_path, size):
    pixels = random_pixels("small", size)
    write_image(tmp_path / "image.png", pixels)
    assert torch.equal(read_image(tmp_path / "image.png"), as_image(pixels))


@pytest.mark.parametrize(("maximum", "kind"), [(127, "u1"), (1023, ">u2"), (4095, ">u2")])
def test_netpbm_values_are_shares_of_the_stated_maximum(tmp_path, maximum, kind):
    """Machine-vision cameras write 10 and 12 bits so."""
    levels = np.array([[0, maximum // 2, maximum]], kind)
    for magic, values in ((b"P5", levels), (b"P6", np.repeat(levels[..., None], 3, axis=2))):
        path = tmp_path / "image.pnm.ppm"
        path.write_bytes(magic + b"\n# a comment\n3 1\n%d\n" % maximum + values.tobytes())
        image = read_image(path)
        assert torch.equal(image[1, 0], torch.tensor([0, maximum // 2 / maximum, 1]))


@pytest.mark.parametrize("maximum", [15, 255, 1023])
def test_netpbm_values_written_as_text(tmp_path, maximum):
    path = tmp_path / "image.pgm"
    path.write_text(f"P2\n3 1\n{maximum}\n0 {maximum // 3} {maximum}\n")
    expected = torch.tensor([0, maximum // 3 / maximum, 1])
    torch.testing.assert_close(read_image(path)[1, 0], expected, rtol=0, atol=1e-3)


def test_netpbm_values_beyond_the_stated_maximum_are_refused(tmp_path):
    path = tmp_path / "image.pgm"
    path.write_bytes(b"P5\n2 1\n1023\n" + np.array([0, 2000], ">u2").tobytes())
    with pytest.raises(InputError, match="values up to 1023 as its header states, got 2000"):
        read_image(path)


def test_missing_image(tmp_path):
    with pytest.raises(InputError, match=r"nothing.png: no such image"):
        read_image(tmp_path / "nothing.png")


def test_folder_in_place_of_an_image(tmp_path):
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_image(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_other_content(tmp_path, content):
    (tmp_path / "image.png").write_bytes(content)
    with pytest.raises(InputError, match="image.png: damaged, truncated or not an image"):
        read_image(tmp_path / "image.png")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "; it is empty; copy it again"),
        (b"version https://git-lfs.example/spec/v1\nsize 12\n", ": it holds text that begins with"),
        (b"<!DOCTYPE html>\n<html></html>", "begins with '<!DOCTYPE html>'; expected an image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", ": it holds a HEIF picture; expected an image such as"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", ": it holds a video; expected"),
        (b"%PDF-1.7\n", ": it holds a PDF document; expected"),
        (b"PK\x03\x04\x14\0", ": it holds an archive; expected"),
        (b"P6\n4 4\n255\n\1\2", "not an image; copy it again"),
    ],
)
def test_what_is_no_image_is_named(tmp_path, content, said):
    (tmp_path / "image.png").write_bytes(content)
    with pytest.raises(InputError) as error:
        read_image(tmp_path / "image.png")
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp", "ppm"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_truncated_images_are_refused_silently(tmp_path, capfd, suffix, kept):
    smooth = cv2.resize(PIXELS, (320, 200), interpolation=cv2.INTER_CUBIC)
    path = save(tmp_path / f"image.{suffix}", smooth)
    read_image(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(InputError, match="damaged, truncated or not an image"):
        read_image(path)
    assert capfd.readouterr().err == ""


def test_any_damaged_byte_of_a_png_is_noticed(tmp_path):
    path = save(tmp_path / "image.png", PIXELS)
    data = path.read_bytes()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="damaged"):
            read_image(path)


def test_floating_point_images_are_refused(tmp_path):
    path = save(tmp_path / "image.tif", np.zeros((4, 4, 3), np.float32))
    with pytest.raises(InputError, match="expected 8- or 16-bit values, got float32"):
        read_image(path)


def test_to_uint8_rounds_and_clamps():
    image = torch.tensor([-1.0, 0.0, 0.4 / 255, 0.6 / 255, 254.6 / 255, 1.5]).expand(3, 2, 6)
    array = to_uint8(image)
    assert array.shape == (2, 6, 3)
    assert array[1, :, 2].tolist() == [0, 0, 0, 1, 255, 255]


def test_sixteen_bits_read_back(tmp_path):
    image = torch.tensor([-1.0, 0.3 / 65535, 0.7 / 65535, 0.3, 1.5]).expand(3, 2, 5)
    array = to_levels(image, 16)
    assert array[1, :, 2].tolist() == [0, 0, 1, 19660, 65535]  # 0.3 in float32 is below 19660.5
    for name in ("image.png", "image.tif"):
        write_image(tmp_path / name, array)
        assert (read_image(tmp_path / name) - image.clamp(0, 1)).abs().max() < 0.51 / 65535


def test_written_images_read_back(tmp_path):
    write_image(tmp_path / "image.png", PIXELS)
    image = read_image(tmp_path / "image.png")
    assert torch.equal(image, as_image(PIXELS))
    assert np.array_equal(to_uint8(image), PIXELS)
    assert os.listdir(tmp_path) == ["image.png"]


def test_written_arrays_are_checked(tmp_path):
    with pytest.raises(
        ValueError, match=r"expected \(H, W, 3\) uint8 or uint16, got \(7, 5\) uint8"
    ):
        write_image(tmp_path / "image.png", PIXELS[..., 0])


def test_no_space_left_names_the_folder_and_keeps_what_was_there(tmp_path, monkeypatch):
    write_image(tmp_path / "image.png", PIXELS)

    def full(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    expected = f"{tmp_path}: cannot write there: No space left on device"
    with pytest.raises(InputError, match=expected):
        write_image(tmp_path / "image.png", 255 - PIXELS)
    monkeypatch.undo()
    assert torch.equal(read_image(tmp_path / "image.png"), as_image(PIXELS))
    assert os.listdir(tmp_path) == ["image.png"]


def test_pipes_and_devices_are_no_images(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match=r"pipe\.png: expected a regular file, got a pipe"):
        read_image(tmp_path / "pipe.png")
    with pytest.raises(InputError, match=r"expected a regular file, got a socket or a device"):
        read_image("/dev/zero")
