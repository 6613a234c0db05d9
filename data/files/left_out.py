"""What a still image holds beyond the picture that is read: further pages, alpha, a profile."""

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
from PIL import Image, ImageCms

_ORIENTATION = 274  # EXIF tag; 1: as stored
_TIFF = (".tif", ".tiff")


def left_out(path: Path) -> Iterator[str]:
    """Lines about the parts of an image file that `data.files.images.read_image` leaves out.

    Of files that Pillow cannot read, such as 16-bit colour TIFF, only further pages are known.
    """
    pages = cv2.imcount(str(path)) if path.suffix.lower() in _TIFF else 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                pages = max(pages, getattr(image, "n_frames", 1))
                yield from _parts(path, image)
        except (OSError, Image.DecompressionBombError):
            pass  # `read_image` reads it, or has said why not
    if pages > 1:
        yield f"{path}: of {pages} pages or frames only the first is used"


def _parts(path: Path, image: Image.Image) -> Iterator[str]:
    stated, profile = image.getexif().get(_ORIENTATION, 1), image.info.get("icc_profile")
    if "transparency" in image.info or (
        "A" in image.getbands() and image.getchannel("A").getextrema() != (255, 255)
    ):
        yield f"{path}: its transparency (alpha) is left out"
    if profile and "srgb" not in (name := _profile_name(profile)).lower():
        yield f"{path}: its colour profile ({name}) is left out: its values are taken as sRGB"
    if stated in range(2, 9):
        yield (
            f"{path}: its orientation tag is not applied: rows are taken as the sensor stored them"
        )


def _profile_name(profile: bytes) -> str:
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
    except (ImageCms.PyCMSError, OSError):
        return "not readable"
