"""Data options: where captures come from, how simulated scenes look, which crops to train on."""

import math
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)
from typing_extensions import Self

from data.layouts import LAYOUTS, SIMULATED
from data.simulator.settings import LIMITS, MAX_TEXTURES, RANGE_LIMITS, SceneSettings
from models.parts.settings import SIZE_MULTIPLE
from utils.options.evaluation import ProtocolName
from utils.options.files import FolderName, OptionGroup, changed, one_of

_LIMITS = LIMITS | RANGE_LIMITS
_WITH_SPLITS = next(name for name, layout in LAYOUTS.items() if layout.has_splits)
_WITHOUT_SPLITS = next(name for name, layout in LAYOUTS.items() if not layout.has_splits)

_ONLY_FOR = {
    "procedural_textures": SIMULATED,
    "scene": SIMULATED,
    "flows": SIMULATED,
    "sensor_rows": SIMULATED,
    "seed": SIMULATED,
    "split": _WITH_SPLITS,
    "drop_ends": _WITH_SPLITS,
    "every": _WITHOUT_SPLITS,
}
"""Options of one kind of data, and the name of that kind."""

_MAY_BE_DEFAULT = ("seed", "split", "every", "drop_ends")
"""Those of them that other data may state too, if they keep their default."""


def _as_range(value: object) -> object:
    """Turn one number into a range from it to itself."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (value, value)
    return tuple(value) if isinstance(value, list) else value


Range = Annotated[tuple[float, float], BeforeValidator(_as_range)]


def _as_patch(value: object) -> object:
    """Check rows and columns, or one number for a square."""
    sides = value if isinstance(value, list | tuple) and len(value) == 2 else (value,)
    for side in sides:
        if not isinstance(side, int) or isinstance(side, bool) or side < 1 or side % SIZE_MULTIPLE:
            raise ValueError(
                f"expected a multiple of {SIZE_MULTIPLE} or two, [rows, columns], got {value}"
            )
    return tuple(sides) if len(sides) == 2 else value


class SceneOptions(OptionGroup):
    """How simulated scenes look and move (`data.simulator.settings.SceneSettings`).

    `height`, `width`: size of the frames in pixels.
    `max_objects`: maximum number of objects that move in front of the background.
    `camera_motion`, `object_motion`, `acceleration`: maximum displacements over one readout at
    strength 1, in pixels. `camera_shake`: maximum shift by the shake of a hand, likewise.
    `strength` (0 to 10): scales all motion. `exposure`: exposure time as a share of the readout.
    `shot_noise`, `read_noise`: standard deviations at white and at black. Each of the four is a
    number or a range [low, high] to draw from for each scene.
    `gamma`: of the images; noise and exposure are applied to linear light.
    `view_difference`: maximum difference between the gains of the two views.
    `parallax`: displacement (dx, dy) from t2b to b2t in pixels.
    """

    height: Annotated[int, Field(ge=SIZE_MULTIPLE)] = SceneSettings.height
    width: Annotated[int, Field(ge=SIZE_MULTIPLE)] = SceneSettings.width
    camera_motion: float = SceneSettings.camera_motion
    object_motion: float = SceneSettings.object_motion
    acceleration: float = SceneSettings.acceleration
    camera_shake: float = SceneSettings.camera_shake
    max_objects: int = SceneSettings.max_objects
    strength: Range = (1.0, 1.0)
    exposure: Range = (0.0, 0.0)
    gamma: float = SceneSettings.gamma
    shot_noise: Range = (0.0, 0.0)
    read_noise: Range = (0.0, 0.0)
    view_difference: float = SceneSettings.view_difference
    parallax: tuple[float, float] = SceneSettings.parallax

    @field_validator(*_LIMITS)
    @classmethod
    def _within_limits(
        cls, value: float | tuple[float, float], field: ValidationInfo
    ) -> float | tuple[float, float]:
        low, high = value if isinstance(value, tuple) else (value, value)
        least, largest = _LIMITS[str(field.field_name)]
        if low > high:
            raise ValueError(f"expected [low, high], got {[low, high]}")
        if low < least or high > largest:
            expected = f"at least {least}" if largest == math.inf else f"{least} to {largest}"
            raise ValueError(f"expected {expected}, got {low if low == high else [low, high]}")
        return value

    def settings(self) -> SceneSettings:
        """These options for the simulator."""
        return SceneSettings(**self.model_dump())


class DataOptions(OptionGroup):
    """Where captures come from.

    `dataset_type`: "rs_gopro" is laid out like the benchmark; "captures" is any folder of pairs
    NAME_t2b.png and NAME_b2t.png without true frames; "simulated" renders scenes.
    `data_root`: folder of the captures; for simulated scenes, the folder of photos to use as
    textures, or null for those of scikit-image.
    `drop_ends` (only "rs_gopro"): leave out the first and last pair of each sequence, as IFED does.
    `procedural_textures` (only "simulated"): number of generated textures in addition to photos.
    `scene` (only "simulated"): how scenes look and move.
    """

    dataset_type: Annotated[str, one_of(LAYOUTS, (SIMULATED,))]
    data_root: str | None = None
    drop_ends: bool = False
    procedural_textures: Annotated[int, Field(ge=0, le=MAX_TEXTURES)] = 0
    scene: SceneOptions = SceneOptions()

    @property
    def has_splits(self) -> bool | None:
        """Whether the layout has a folder for each split; None for simulated scenes."""
        return None if self.dataset_type == SIMULATED else LAYOUTS[self.dataset_type].has_splits

    @model_validator(mode="after")
    def _fits_the_type(self) -> Self:
        kind = {None: SIMULATED, True: _WITH_SPLITS, False: _WITHOUT_SPLITS}[self.has_splits]
        if kind != SIMULATED and self.data_root is None and not changed(self, "every"):
            raise ValueError(f"data_root: expected a folder for '{self.dataset_type}', got null")
        for key, owner in _ONLY_FOR.items():
            given = changed(self, key) if key in _MAY_BE_DEFAULT else key in self.model_fields_set
            if given and kind != owner:
                raise ValueError(f"{key}: only for '{owner}' data, not '{self.dataset_type}'")
        return self


class TrainingDataOptions(DataOptions):
    """The crops to train on.

    `split`: folder of "rs_gopro" data.
    `augment`: flip crops and reverse time at random.
    `times`: instants of the frames: "released" draws from the paper's seven, "continuous" from
    [0, 1]. Training on true frames of captures uses the instants of those frames instead, and the
    network "ifed" its own.
    `patch_size`: one number for square crops, or [rows, columns].
    `dataloader_batch_size`: samples per step, over all processes.
    `dataloader_num_workers`: loader processes per training process.
    `crops_per_scene`: number of consecutive samples from one scene or capture, which is rendered or
    read once; with true frames, it is read again when a crop needs other frames.
    `flows` (only "simulated"): add exact displacements to the samples, for the loss `Flow`.
    `sensor_rows` (only "simulated"): share [low, high] of the sensor's rows to take crops from.
    `distinct_samples`: generate this many samples, then repeat them from an in-memory cache; for
    samples that take longer to generate than to train on. A multiple of batch size times workers.
    """

    split: FolderName = "train"
    patch_size: Annotated[int | tuple[int, int], BeforeValidator(_as_patch)] = 256
    times: Literal["released", "continuous"] = "released"
    augment: bool = True
    dataloader_batch_size: PositiveInt = 48
    dataloader_num_workers: NonNegativeInt = 8
    flows: bool = False
    crops_per_scene: PositiveInt = 1
    distinct_samples: PositiveInt | None = None
    sensor_rows: tuple[float, float] = (0.0, 1.0)

    @property
    def patch(self) -> tuple[int, int]:
        """Rows and columns of the crops."""
        if isinstance(self.patch_size, int):
            return self.patch_size, self.patch_size
        return self.patch_size

    @field_validator("sensor_rows")
    @classmethod
    def _rising(cls, rows: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= rows[0] < rows[1] <= 1:
            raise ValueError(f"expected [low, high] with 0 <= low < high <= 1, got {list(rows)}")
        return rows

    @model_validator(mode="after")
    def _fits_the_images(self) -> Self:
        low, high = self.sensor_rows
        room = (round((high - low) * self.scene.height), self.scene.width)
        too_large = self.patch[0] > room[0] or self.patch[1] > room[1]
        if self.dataset_type == SIMULATED and too_large:
            square = isinstance(self.patch_size, int)
            raise ValueError(
                f"patch_size: {self.patch_size if square else list(self.patch)} is larger than "
                f"the scene ({self.scene.height}x{self.scene.width}) within sensor_rows "
                f"[{low:g}, {high:g}]; expected at most {min(room) if square else list(room)}"
            )
        return self

    @model_validator(mode="after")
    def _repeats_in_each_worker(self) -> Self:
        together = self.dataloader_batch_size * max(self.dataloader_num_workers, 1)
        if self.distinct_samples is not None and self.distinct_samples % together:
            raise ValueError(
                f"distinct_samples: expected a multiple of dataloader_batch_size times "
                f"dataloader_num_workers ({together}), got {self.distinct_samples}"
            )
        return self


class ValidationDataOptions(DataOptions):
    """The captures to validate on.

    `split`: folder of "rs_gopro" data.
    `count`: use only so many; null uses all.
    `choice`: which `count` captures: the "first" ones, or "spread": evenly over all sequences.
    `protocol`: how frames are compared with the truth (`utils.metrics.PROTOCOLS`).
    `images`: number of captures, spread over those in use, whose pictures are kept at every
    validation, in TensorBoard and in the run's folder `validation`.
    `seed`: of simulated scenes; keep it different from that of training.
    `every` (only "captures", instead of `data_root`): n holds every n-th capture of the training
    folder, in natural order of names, out of training.
    """

    split: FolderName = "valid"
    count: PositiveInt | None = None
    choice: Literal["first", "spread"] = "first"
    protocol: ProtocolName = "full"
    images: NonNegativeInt = 2
    every: Annotated[int, Field(ge=2)] | None = None
    seed: NonNegativeInt = 1_000_000

    @model_validator(mode="after")
    def _names_one_source(self) -> Self:
        if self.every is not None and self.data_root is not None:
            raise ValueError(
                "every: holds captures of datasets.train.data_root out of training; leave out "
                "data_root, or every"
            )
        if self.dataset_type == SIMULATED and self.count is None:
            raise ValueError("count: expected how many scenes to simulate, got null")
        return self
