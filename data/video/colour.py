"""Colours of videos: what their tags say, and high dynamic range as standard range.

Results are R'G'B' of BT.709 as screens show them (gamma 2.4). Brightness of PQ (SMPTE ST 2084) and
HLG (ARIB STD-B67) is relative to the 203 cd/m2 of diffuse white in ITU-R BT.2408.
"""

from dataclasses import dataclass
from functools import cache

import torch
from av.video.frame import VideoFrame
from torch import Tensor

_UNSPECIFIED = 2
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020"}
"""ITU-T H.273 code points that libswscale converts, by its names."""
_TRANSFERS = {16: "PQ", 18: "HLG"}
_UNUSUAL_TRANSFERS = {8: "linear", 9: "logarithmic", 10: "logarithmic", 17: "SMPTE 428"}
_PRIMARIES = {9: "BT.2020", 12: "Display P3"}
_HD_SIZE = (577, 1280)  # rows, columns: players take larger untagged pictures for BT.709

_TO_BT709 = {
    9: ((1.660491, -0.587641, -0.072850),
        (-0.124550, 1.132900, -0.008349),
        (-0.018151, -0.100579, 1.118730)),
    12: ((1.224940, -0.224940, 0.0),
         (-0.042057, 1.042057, 0.0),
         (-0.019638, -0.078636, 1.098274)),
}  # fmt: skip
_LUMA = {1: (0.2126, 0.7152, 0.0722), 9: (0.2627, 0.6780, 0.0593)}
_WHITE = 203.0  # cd/m2
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2  # of the nominal display, cd/m2
_GAMMA = 2.4
_KNEE, _BRIGHTEST = 0.9, 1000.0 / _WHITE
"""Linear light up to the knee is kept; what lies above is compressed, the brightest to 1."""
_CODES = 65536


@dataclass(frozen=True)
class Colours:
    """How a video's values become R'G'B' of BT.709.

    Attributes:
        matrix: name for libswscale's `in_color_matrix`.
        transfer: "PQ", "HLG" or None for standard range.
        primaries: code point of primaries to convert from, or None.
        note: what is done that players of standard range do not do, empty if nothing.
        unknown: a tag that cannot be honoured, empty if there is none.
    """

    matrix: str
    transfer: str | None
    primaries: int | None
    note: str = ""
    unknown: str = ""

    @property
    def is_converted(self) -> bool:
        """Whether values change after the matrix."""
        return self.transfer is not None or self.primaries is not None


def read_colours(frame: VideoFrame) -> Colours:
    """The colours of a frame by its tags, or as players take it without tags."""
    code, unknown = int(frame.colorspace), ""
    matrix = _MATRICES.get(code, "auto")
    if code == _UNSPECIFIED and (frame.height >= _HD_SIZE[0] or frame.width >= _HD_SIZE[1]):
        matrix = "bt709"
    is_yuv = not frame.format.is_rgb and len(frame.format.components) > 2
    if is_yuv and code not in (*_MATRICES, 0, _UNSPECIFIED):
        unknown = f"matrix {code} of ITU-T H.273"
    transfer = _TRANSFERS.get(int(frame.color_trc))
    if int(frame.color_trc) in _UNUSUAL_TRANSFERS:
        unknown = f"{_UNUSUAL_TRANSFERS[int(frame.color_trc)]} transfer"
    primaries = int(frame.color_primaries)
    wide = primaries if primaries in _PRIMARIES else None
    if transfer:
        wide = wide or 9
        note = f"high dynamic range ({transfer}) is tone-mapped to standard range, BT.709"
    elif wide:
        note = f"its colours ({_PRIMARIES[wide]}) are converted to BT.709; more saturated are cut"
    else:
        note = ""
    return Colours(matrix, transfer, wide, note, unknown)


def to_standard_range(image: Tensor, colours: Colours) -> Tensor:
    """Convert R'G'B' values (3, H, W) in [0, 1] by `colours` to R'G'B' of BT.709 in [0, 1]."""
    codes = (image * (_CODES - 1)).round().to(torch.int32)
    light = _light_of_codes(colours.transfer)[codes]
    if colours.transfer == "HLG":  # the display's gamma acts on brightness (ITU-R BT.2100)
        luma = torch.einsum("c,chw->hw", light.new_tensor(_LUMA[9]), light)
        light = light * luma.clamp(min=1e-6) ** (_HLG_GAMMA - 1) * (_HLG_PEAK / _WHITE)
    if colours.primaries is not None:
        matrix = light.new_tensor(_TO_BT709[colours.primaries])
        light = torch.einsum("oc,chw->ohw", matrix, light)
    if colours.transfer is not None:
        light = _compress_highlights(light.clamp(min=0))
    return light.clamp(0, 1) ** (1 / _GAMMA)


def _compress_highlights(light: Tensor) -> Tensor:
    """Scale pixels so that their largest value passes a curve that keeps values up to the knee.

    Above the knee it is k + (1 - k) (1 + a) u / (u + a), u from 0 to 1 at the brightest; `a` makes
    the slope continuous.
    """
    largest = light.amax(0, keepdim=True).clamp(max=_BRIGHTEST)
    span = _BRIGHTEST - _KNEE
    a = (1 - _KNEE) / (span - (1 - _KNEE))
    above = ((largest - _KNEE) / span).clamp(min=0)
    mapped = _KNEE + (1 - _KNEE) * (1 + a) * above / (above + a)
    return light * torch.where(largest > _KNEE, mapped / largest.clamp(min=_KNEE), 1.0)


@cache
def _light_of_codes(transfer: str | None) -> Tensor:
    """Linear light of the 16-bit codes of a transfer curve; 1 is diffuse white, of HLG the peak."""
    value = torch.linspace(0, 1, _CODES, dtype=torch.float64)
    if transfer == "PQ":
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = value ** (1 / m2)
        light = ((root - c1).clamp(min=0) / (c2 - c3 * root)) ** (1 / m1) * 10000 / _WHITE
    elif transfer == "HLG":
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = torch.where(value <= 0.5, value**2 / 3, (torch.exp((value - c) / a) + b) / 12)
    else:
        light = value**_GAMMA
    return light.float()
