"""Images of other programs: NumPy arrays or tensors, grey or colour, of any type, alone or many."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from utils.errors import InputError

Images = TypeVar("Images", npt.NDArray[Any], Tensor)
"""NumPy arrays with the colours last, or tensors with the colours first."""

_WHITE = {"uint8": 255.0, "uint16": 65535.0}
_CHANNELS = (1, 3, 4)
_EXACT_IN_FLOAT32 = 1 << 24


class ImageForm(NamedTuple):
    """How somebody stores images.

    Attributes:
        shape: (H, W), (H, W, C) or (B, H, W, C) of arrays; (H, W), (C, H, W) or (B, C, H, W) of
            tensors; C is 1, 3 or 4.
        dtype: its name, as "uint8" or "bfloat16".
        device: of a tensor; None of an array.
        white: the value that is 1 in [0, 1].
    """

    shape: tuple[int, ...]
    dtype: str
    device: torch.device | None
    white: float

    @property
    def is_batch(self) -> bool:
        """Whether these are images of several captures."""
        return len(self.shape) == 4

    @property
    def is_grey(self) -> bool:
        """Whether there is one value per pixel."""
        return len(self.shape) == 2 or self.shape[self._channel_axis] == 1

    @property
    def _channel_axis(self) -> int:
        return -1 if self.device is None else -3

    def __str__(self) -> str:
        """Shape, type, and device of a tensor."""
        kind = self.dtype if self.device is None else f"torch.{self.dtype} on {self.device}"
        return f"{self.shape} {kind}"

    def restore(self, frames: Tensor) -> Any:  # noqa: ANN401
        """Frames (B, T, 3, H, W) in [0, 1] as images of this form; T follows B, or is first.

        Alpha is left out: frames of (H, W, 4) are (H, W, 3).
        """
        values = frames.detach() if self.device is None else frames.detach().to(self.device)
        if self.white > _EXACT_IN_FLOAT32:
            values = values.double()
        values = values * self.white
        if self.is_grey:  # as a sum, not a mean: rounded alike on every device
            values = ((values[:, :, 0] + values[:, :, 1] + values[:, :, 2]) / 3).unsqueeze(2)
        if not _is_float(self.dtype):
            values = values.round()
        if len(self.shape) == 2:
            values = values.squeeze(2)
        elif self.device is None:
            values = values.movedim(2, -1)
        made = values if self.is_batch else values[0]
        if self.device is None:
            return made.cpu().numpy().astype(self.dtype)
        return made.to(getattr(torch, self.dtype))


def form_of(name: str, image: object, white: float | None = None) -> ImageForm:
    """The form of an image or of a batch of images.

    Args:
        name: of the image, for messages.
        image: what the caller has given.
        white: the value that means white; by default the largest of uint8 and uint16, 1 of floats.

    Raises:
        InputError: it is no array or tensor, has another shape than `ImageForm.shape`, has neither
            numbers nor a known white.
    """
    if isinstance(image, np.ndarray):
        dtype, device = image.dtype.name, None
    elif isinstance(image, Tensor):
        dtype, device = str(image.dtype).removeprefix("torch."), image.device
    else:
        is_like = hasattr(image, "__array_interface__")
        cure = "; pass numpy.asarray(image)" if is_like else ""
        raise InputError(
            f"{name} image: expected a NumPy array or a tensor, got {type(image).__name__}{cure}"
        )
    shape = tuple(image.shape)
    axis = -1 if device is None else -3
    if not (len(shape) == 2 or (len(shape) in (3, 4) and shape[axis] in _CHANNELS)):
        expected = "(H, W, C) or (B, H, W, C)" if device is None else "(C, H, W) or (B, C, H, W)"
        kind = "an array" if device is None else "a tensor"
        raise InputError(
            f"{name} image: expected {kind} (H, W), {expected} with 1, 3 or 4 channels, got "
            f"{shape}{_cure_for(shape, device)}"
        )
    if not all(shape):
        raise InputError(f"{name} image: expected pixels, got {shape}")
    return ImageForm(shape, dtype, device, _white_of(name, dtype, white))


def read_images(name: str, image: npt.NDArray[Any] | Tensor, form: ImageForm) -> Tensor:
    """Images of a form as (B, 3, H, W) RGB float32 in [0, 1], on the device of tensors.

    Raises:
        InputError: a value is NaN or lies outside [0, white].
    """
    if isinstance(image, Tensor):
        values = image.detach()
    else:  # PyTorch reads neither another byte order nor all integers
        is_wide = image.dtype.kind in "iu" and image.dtype.itemsize > 2
        kind = np.float64 if is_wide or image.dtype.itemsize > 4 else np.float32
        values = torch.from_numpy(np.ascontiguousarray(image, kind))
    if not values.dtype.is_floating_point:
        values = values.double() if form.white > _EXACT_IN_FLOAT32 else values.float()
    smallest, largest = (float(limit) for limit in values.aminmax())
    if not (smallest >= 0 and largest <= form.white):
        got = f"{smallest:.9g} to {largest:.9g}"
        if bool(values.isnan().any()):
            got = "NaN"
        raise InputError(
            f"{name} image: expected values in [0, {form.white:.9g}], got {got}"
            f"{_cure_for_values(form, smallest, largest)}"
        )
    if len(form.shape) == 2:
        values = values[None, None]
    else:
        values = values if form.is_batch else values[None]
        values = values.movedim(-1, 1) if form.device is None else values
    scaled = (values / form.white).float()
    return scaled.expand(-1, 3, -1, -1) if form.is_grey else scaled[:, :3]


def _white_of(name: str, dtype: str, white: float | None) -> float:
    if dtype == "bool" or "complex" in dtype or not (_is_float(dtype) or "int" in dtype):
        raise InputError(f"{name} image: expected integers or floats, got {dtype}")
    if white is None:
        if not _is_float(dtype) and dtype not in _WHITE:
            raise InputError(
                f"{name} image: expected values of uint8, uint16 or a float type, got {dtype}, "
                "whose white is not known; give it, such as white=255"
            )
        return _WHITE.get(dtype, 1.0)
    largest = np.inf if _is_float(dtype) else float(np.iinfo(dtype).max)
    if not 0 < white <= largest or white == np.inf:
        raise InputError(f"white: expected a value that {dtype} can hold, above 0, got {white}")
    return float(white)


def _is_float(dtype: str) -> bool:
    return "float" in dtype


def _cure_for(shape: Sequence[int], device: torch.device | None) -> str:
    """How to make an accepted image of one of another shape, as the end of a message."""
    if device is None and len(shape) == 3 and shape[0] in _CHANNELS:
        return "; put the colours last: image.transpose(1, 2, 0)"
    if device is not None and len(shape) == 3 and shape[2] in _CHANNELS:
        return "; put the colours first: image.permute(2, 0, 1)"
    if device is not None and len(shape) == 4 and shape[3] in _CHANNELS:
        return "; put the colours second: images.permute(0, 3, 1, 2)"
    return ""


def _cure_for_values(form: ImageForm, smallest: float, largest: float) -> str:
    if form.white == 1 and smallest >= 0 and 1.5 < largest <= 255:
        return "; if 255 is white, give white=255"
    return ""
