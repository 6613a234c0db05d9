"""Correction of NumPy arrays and tensors, for use as a library."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data.camera_timing import CameraTiming
from models.architecture import load_network
from models.clip.correction import Break, ClipPair, correct_clip
from models.inference import correction
from models.inference.images import ImageForm, Images, form_of, read_images
from models.parts.checks import check_times
from models.parts.device import choose_device
from models.parts.settings import Blending, InferenceSettings, MotionEstimate, list_instants
from utils.errors import InputError

BUNDLED_WEIGHTS = Path(__file__).parents[1] / "pretrained" / "drsc_light.safetensors"

Times = float | Sequence[float] | npt.NDArray[Any] | Tensor


class ArrayCorrection:
    """Correction of pairs of images to global-shutter frames.

    It keeps nothing between two calls: threads may share it, and each gets the frames that it would
    get alone.
    """

    def __init__(
        self,
        method: correction.Correction,
        *,
        follows_motion: bool = False,
        blending: Blending = "choose",
        motion_estimate: MotionEstimate = "auto",
    ) -> None:
        """Wrap a correction of tensors; options as in `models.clip.correction.correct_clip`."""
        self._method = method
        self._follows_motion = follows_motion
        self._blending = blending
        self._motion_estimate = motion_estimate

    def __call__(
        self,
        first: Images,
        second: Images,
        times: Times,
        *,
        timing: CameraTiming | None = None,
        white: float | None = None,
    ) -> Images:
        """Make frames of one capture, or of several, in the form of the inputs.

        NumPy arrays are (H, W, C), tensors (C, H, W), of any device; C is 3 (RGB), 4 (alpha is left
        out) or 1, and grey images may be (H, W). A further first axis B holds several captures,
        which are corrected one by one. Values are uint8, uint16, floats of any precision in [0, 1],
        or any numbers from 0 to `white`; all are corrected in float32.

        Args:
            first: the first sensor's image or images, read top to bottom unless `timing` says
                otherwise.
            second: likewise of the second sensor, of the same moments, read bottom to top; of the
                shape, dtype and device of `first`.
            times: T instants in [0, 1], or one; by default 0 and 1 are the exposures of the first
                and the last row of the first image (see `timing`).
            timing: timing of the two sensors.
            white: the value that means white; by default 255 of uint8, 65535 of uint16, 1 of
                floats; needed of other integers.

        Returns:
            An array (T, H, W, 3) of arrays, a tensor (T, 3, H, W) on their device of tensors, in
            the dtype of the inputs; the channels of grey images are those of the inputs. Of several
            captures (B, T, ...). Without T for a single number as `times`.

        Raises:
            InputError: these are not images of equal form, their values are NaN or lie outside
                [0, white], they have fewer than 2 rows, or `times` are no numbers.
            ValueError: no instants, or one outside [0, 1].
        """
        instants = _to_instants(times)
        timing = timing or CameraTiming()
        views = _read_views(first, second, timing, white)
        scan = timing.scan_time(views.pairs.shape[-2])
        made = [
            timing.restore(self._method(pair, instants, scan_time=scan).frames)
            for pair in views.pairs
        ]
        frames: Images = views.restore(made, times)
        return frames

    def clip(
        self,
        pairs: Iterable[tuple[Images, Images]],
        times: Times,
        *,
        timing: CameraTiming | None = None,
        on_break: Break = lambda _pair, _finding: None,
        white: float | None = None,
    ) -> Iterator[Images]:
        """Make the frames of the consecutive pairs of a clip, each with its neighbours.

        The frame at t = 1 of a pair is that at t = 0 of the next: a video of times 0, 1/4, 1/2 and
        3/4 of every pair shows each instant once. The frames of a pair come when the next pair has
        been read; two pairs are in memory.

        Args:
            pairs: first and second images, as for one capture; all of one form.
            times: T instants in [0, 1], or one, of every pair.
            timing: timing of the two sensors.
            on_break: called with the number of a pair that does not follow the one before it, such
                as after a cut, and with what was found; no frame is made of both.
            white: as for one capture.

        Yields:
            The frames of each pair, as of one capture.

        Raises:
            InputError: as for one capture, a pair of another form than the first or of several
                captures, or the network makes certain instants only.
            ValueError: no instants, or one outside [0, 1].
        """
        fixed = correction.instants_of(self._method)
        if fixed is not None:
            raise InputError(
                f"the network makes frames at t = {list_instants(fixed)} only, and a clip needs "
                "others between its pairs: correct them one by one"
            )
        instants = _to_instants(times)
        check_times(instants)
        return self._clip(pairs, times, timing or CameraTiming(), on_break, white)

    def _clip(
        self,
        pairs: Iterable[tuple[Images, Images]],
        times: Times,
        timing: CameraTiming,
        on_break: Break,
        white: float | None,
    ) -> Iterator[Images]:
        waiting = iter(pairs)
        given = next(waiting, None)
        if given is None:
            return
        start = _read_views(*given, timing, white)
        if start.form.is_batch:
            raise InputError(
                f"first image: expected one image per pair of a clip, got {start.form.shape}"
            )
        instants = _to_instants(times)

        def read() -> Iterator[ClipPair]:
            yield ClipPair(start.pairs[0], instants)
            for first, second in waiting:
                views = _read_views(first, second, timing, white, like=start.form)
                yield ClipPair(views.pairs[0], instants)

        for frames in correct_clip(
            self._method,
            read(),
            timing.scan_time(start.pairs.shape[-2]),
            follows_motion=self._follows_motion,
            blending=self._blending,
            motion_estimate=self._motion_estimate,
            on_break=on_break,
        ):
            yield start.restore([timing.restore(frames)], times)


def load_correction(
    weights: str | Path = BUNDLED_WEIGHTS,
    *,
    device: str = "auto",
    self_ensemble: bool = False,
    blending: Blending = "choose",
    motion_estimate: MotionEstimate = "auto",
) -> ArrayCorrection:
    """Load a correction of NumPy arrays and tensors.

    Args:
        weights: a weight file, ours or a released one; "classical" needs none.
        device: "auto", "cpu", "cuda" or "mps".
        self_ensemble: whether to use test-time augmentation: better, in twice the time.
        blending: how the classical correction and the refiner join both views (`Blending`).
        motion_estimate: what estimates their motion (`MotionEstimate`): for the refiner on its
            device, for the classical correction on that of the images.

    Raises:
        InputError: the weights cannot be loaded, the device is not available, or there is no such
            blending or estimate.
    """
    for name, given, known in (
        ("blending", blending, get_args(Blending)),
        ("motion_estimate", motion_estimate, get_args(MotionEstimate)),
    ):
        if given not in known:
            *others, last = map(repr, known)
            raise InputError(f"{name}: expected {', '.join(others)} or {last}, got {given!r}")
    method: correction.Correction = partial(
        correction.correct_classically, blending=blending, motion_estimate=motion_estimate
    )
    follows_motion = True
    if weights != "classical":
        network = load_network(weights, choose_device(device))
        settings = InferenceSettings(blending=blending, motion_estimate=motion_estimate)
        method = partial(correction.correct, network, settings=settings)
        follows_motion = network.needs_cues
    if self_ensemble:
        method, follows_motion = correction.self_ensemble(method), False
    return ArrayCorrection(
        method,
        follows_motion=follows_motion,
        blending=blending,
        motion_estimate=motion_estimate,
    )


class _Views(NamedTuple):
    """Two views, or those of several captures.

    Attributes:
        form: of what the caller gave.
        pairs: (B, 2, 3, H, W) t2b and b2t.
    """

    form: ImageForm
    pairs: Tensor

    def restore(self, made: Sequence[Tensor], times: Times) -> Any:  # noqa: ANN401
        """Frames (T, 3, H, W) of each pair as the caller's images; of a single time without T."""
        images = self.form.restore(torch.stack([*made]))
        if np.ndim(times) > 0:
            return images
        return images[:, 0] if self.form.is_batch else images[0]


def _read_views(
    first: Images,
    second: Images,
    timing: CameraTiming,
    white: float | None,
    *,
    like: ImageForm | None = None,
) -> _Views:
    """Read views of one form, which is `like` if that is given."""
    form, other = form_of("first", first, white), form_of("second", second, white)
    for name, given, expected, whose in (
        ("first", form, like, "that of the first pair"),
        ("second", other, form, "the first"),
    ):
        if expected is not None and given != expected:
            raise InputError(f"{name} image: expected {expected} like {whose}, got {given}")
    views = read_images("first", first, form), read_images("second", second, form)
    return _Views(form, torch.stack(timing.orient(*views), dim=1))


def _to_instants(times: Times) -> list[float]:
    try:
        values = np.asarray(times.tolist() if isinstance(times, Tensor) else times, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"times: expected numbers in [0, 1], got {times!r}") from error
    if values.ndim > 1:
        raise InputError(f"times: expected one number or a list of them, got {values.shape}")
    return [float(value) for value in values.reshape(-1)]
