"""Data options: where captures come from, how simulated scenes look, which crops to train on."""

import math
from collections.abc import Collection, Iterator
from typing import Annotated, Any, Literal

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
from data.simulator.settings import LIMITS, RANGE_LIMITS, SceneSettings
from models.parts.settings import SIZE_MULTIPLE
from utils.options.files import FolderName, OptionGroup, changed, one_of

_OF_SCENES = ("procedural_textures", "scene", "flows", "sensor_rows")
"""Options that captures on disk make nothing of."""


def _as_range(value: object) -> object:
    """One number stands for the range from it to itself."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (value, value)
    return _as_tuple(value)


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Range = Annotated[tuple[float, float], BeforeValidator(_as_range)]


def _as_patch(value: object) -> object:
    """Rows and columns as a pair; one number is left alone, it means a square."""
    sides = value if isinstance(value, list | tuple) and len(value) == 2 else (value,)
    for side in sides:
        if not isinstance(side, int) or isinstance(side, bool) or side < 1 or side % SIZE_MULTIPLE:
            raise ValueError(
                f"expected a multiple of {SIZE_MULTIPLE} or two, [rows, columns], got {value}"
            )
    return tuple(sides) if len(sides) == 2 else value


def _within(name: str) -> Any:
    """A field that keeps to the limits of a scene's setting."""
    low, high = LIMITS[name]
    return Field(ge=low) if high == math.inf else Field(ge=low, le=high)


class SceneOptions(OptionGroup):
    """How simulated scenes look and move (`data.simulator.settings.SceneSettings`).

    `height`, `width`: of the frames. `max_objects`: cut-outs that move before the background.
    `camera_motion`, `object_motion`, `acceleration`: largest displacements, in pixels over one
    readout at strength 1.
    `strength` (0 to 10), `exposure` (in readouts), `shot_noise`, `read_noise`: numbers, or ranges
    [low, high] drawn from per scene.
    `gamma`: of the images; noise and exposure are of linear light.
    `view_difference`: largest difference between the gains of the views.
    `parallax`: displacement (dx, dy) from t2b to b2t in pixels.
    """

    height: Annotated[int, Field(ge=SIZE_MULTIPLE)] = SceneSettings.height
    width: Annotated[int, Field(ge=SIZE_MULTIPLE)] = SceneSettings.width
    camera_motion: Annotated[float, _within("camera_motion")] = SceneSettings.camera_motion
    object_motion: Annotated[float, _within("object_motion")] = SceneSettings.object_motion
    acceleration: Annotated[float, _within("acceleration")] = SceneSettings.acceleration
    max_objects: Annotated[int, _within("max_objects")] = SceneSettings.max_objects
    strength: Range = (1.0, 1.0)
    exposure: Range = (0.0, 0.0)
    gamma: Annotated[float, _within("gamma")] = SceneSettings.gamma
    shot_noise: Range = (0.0, 0.0)
    read_noise: Range = (0.0, 0.0)
    view_difference: Annotated[float, _within("view_difference")] = SceneSettings.view_difference
    parallax: Annotated[tuple[float, float], BeforeValidator(_as_tuple)] = SceneSettings.parallax

    @field_validator(*RANGE_LIMITS)
    @classmethod
    def _within_limits(
        cls, ends: tuple[float, float], field: ValidationInfo
    ) -> tuple[float, float]:
        low, high = ends
        least, largest = RANGE_LIMITS[str(field.field_name)]
        if low > high:
            raise ValueError(f"expected [low, high], got {list(ends)}")
        if low < least or high > largest:
            got = low if low == high else list(ends)
            raise ValueError(f"expected {least} to {largest}, got {got}")
        return ends


class _Sources(Collection[str]):
    """The layouts, and simulated scenes."""

    def __contains__(self, name: object) -> bool:
        return name == SIMULATED or name in LAYOUTS

    def __iter__(self) -> Iterator[str]:
        return iter([*LAYOUTS, SIMULATED])

    def __len__(self) -> int:
        return len(LAYOUTS) + 1


class DataOptions(OptionGroup):
    """Where captures come from.

    `dataset_type`: "rs_gopro" is laid out like the benchmark, "captures" is any folder of pairs
    NAME_t2b.png and NAME_b2t.png without true frames, "simulated" needs no captures.
    `data_root` is the folder of captures; for simulated scenes the folder of photos, or null for
    scikit-image's bundled ones. Only for simulated scenes: `procedural_textures` draws so many
    besides the photos, `scene` says what the scenes are like.
    """

    dataset_type: Annotated[str, one_of(_Sources())]
    data_root: str | None = None
    procedural_textures: NonNegativeInt = 0
    scene: SceneOptions = SceneOptions()

    @property
    def _shares_a_folder(self) -> bool:
        """Whether the captures are some of a folder that is named elsewhere."""
        return False

    @model_validator(mode="after")
    def _fits_the_type(self) -> Self:
        is_simulated = self.dataset_type == SIMULATED
        needs_folder = not is_simulated and not self._shares_a_folder
        if needs_folder and self.data_root is None:
            raise ValueError(f"data_root: expected a folder for '{self.dataset_type}', got null")
        for key in _OF_SCENES:
            if not is_simulated and key in self.model_fields_set:
                raise ValueError(f"{key}: only for 'simulated' data, not '{self.dataset_type}'")
        has_splits = not is_simulated and LAYOUTS[self.dataset_type].has_splits
        with_splits = next(name for name, layout in LAYOUTS.items() if layout.has_splits)
        for key, owner, fits in (
            ("split", with_splits, has_splits),
            ("seed", SIMULATED, is_simulated),
        ):
            if not fits and changed(self, key):
                raise ValueError(f"{key}: only for '{owner}' data, not '{self.dataset_type}'")
        return self


class TrainingDataOptions(DataOptions):
    """The crops to train on.

    `split`: folder of "rs_gopro" data. `augment`: whether crops are flipped, and time is reversed,
    at random.
    `times`: instants of the frames, "released" (the paper's seven) or "continuous"; learning from
    true frames of "rs_gopro" data, theirs.
    `dataloader_batch_size`: of all processes together, which share it.
    `dataloader_num_workers`: of each process.
    `patch_size`: one number for square crops, or [rows, columns].
    `crops_per_scene` consecutive samples show one scene or capture, which is made or read once;
    with true frames read anew where these differ from those of the crop before.
    Only for simulated scenes: `flows` adds exact displacements to the samples (the loss `Flow`);
    `sensor_rows` is the share [low, high] of the sensor's rows that crops come from.
    `distinct_samples`: after so many samples the same come again, kept in memory: for samples that
    take longer to make than to learn from. A multiple of batch size times workers.
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
        if self.dataset_type == SIMULATED:
            low, high = self.sensor_rows
            room = (round((high - low) * self.scene.height), self.scene.width)
            if self.patch[0] > room[0] or self.patch[1] > room[1]:
                square = isinstance(self.patch_size, int)
                raise ValueError(
                    f"patch_size: {self.patch_size if square else list(self.patch)} is larger than "
                    f"the scene ({self.scene.height}x{self.scene.width}) within sensor_rows "
                    f"[{low:g}, {high:g}]; expected at most {min(room) if square else list(room)}"
                )
        self._check_repetition()
        return self

    def _check_repetition(self) -> None:
        """Whichever worker made a sample makes it again."""
        together = self.dataloader_batch_size * max(self.dataloader_num_workers, 1)
        if self.distinct_samples is not None and self.distinct_samples % together:
            raise ValueError(
                f"distinct_samples: expected a multiple of dataloader_batch_size times "
                f"dataloader_num_workers ({together}), got {self.distinct_samples}"
            )


class ValidationDataOptions(DataOptions):
    """The captures to validate on; `count` takes the first so many, null takes all.

    `split`: folder of "rs_gopro" data. `seed`: of simulated scenes; training has others.
    `every` n, only for "captures" and instead of `data_root`: every n-th capture of the training
    folder, in natural order of names, is held out of training and validated on.
    """

    split: FolderName = "valid"
    count: PositiveInt | None = None
    every: Annotated[int, Field(ge=2)] | None = None
    seed: NonNegativeInt = 1_000_000

    @property
    def _shares_a_folder(self) -> bool:
        return self.every is not None

    @model_validator(mode="after")
    def _names_one_source(self) -> Self:
        is_one_folder = self.dataset_type != SIMULATED and not LAYOUTS[self.dataset_type].has_splits
        if self.every is not None and not is_one_folder:
            raise ValueError(f"every: only for 'captures', not '{self.dataset_type}'")
        if self.every is not None and self.data_root is not None:
            raise ValueError(
                "every: holds captures of datasets.train.data_root out of training; leave out "
                "data_root, or every"
            )
        return self

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.dataset_type == SIMULATED and self.count is None:
            raise ValueError("count: expected how many scenes to simulate, got null")
        return self
