"""Training options: what can be set and what each value may be; keys as in the released files."""

from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)
from typing_extensions import Self

from models.loss_weights import parse_loss
from utils.errors import InputError
from utils.option_files import DeviceName, OptionGroup, TaskName, load_options

__all__ = [
    "DataOptions",
    "DeviceName",
    "GeneratorOptions",
    "OptionGroup",
    "PathOptions",
    "SceneOptions",
    "StepOptions",
    "TrainingDataOptions",
    "TrainingOptions",
    "ValidationDataOptions",
    "load_options",
]

DatasetType = Literal["rs_gopro", "real", "simulated"]

_GRID = 32  # the generator halves its input five times


def _as_range(value: object) -> object:
    """One number stands for the range from it to itself."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (value, value)
    return tuple(value) if isinstance(value, list) else value


class SceneOptions(OptionGroup):
    """How simulated scenes look and move (`data.simulator.SceneSettings`).

    Motions are in pixels over one readout at strength 1; `strength` is a number or a range
    [low, high] drawn from per scene.
    """

    height: Annotated[int, Field(ge=_GRID)] = 540
    width: Annotated[int, Field(ge=_GRID)] = 960
    camera_motion: NonNegativeFloat = 60.0
    object_motion: NonNegativeFloat = 90.0
    acceleration: NonNegativeFloat = 12.0
    max_objects: NonNegativeInt = 4
    strength: Annotated[tuple[NonNegativeFloat, NonNegativeFloat], BeforeValidator(_as_range)] = (
        1.0,
        1.0,
    )

    @field_validator("strength")
    @classmethod
    def _ascending(cls, strength: tuple[float, float]) -> tuple[float, float]:
        if strength[0] > strength[1]:
            raise ValueError(f"expected [low, high], got {list(strength)}")
        return strength


class DataOptions(OptionGroup):
    """Where captures come from.

    `data_root` is the folder of captures; for simulated scenes the folder of photos, or null for
    scikit-image's bundled ones. `scene` is for simulated scenes only.
    """

    dataset_type: DatasetType
    data_root: str | None = None
    scene: SceneOptions = SceneOptions()

    @model_validator(mode="after")
    def _fits_the_type(self) -> Self:
        if self.dataset_type != "simulated":
            if self.data_root is None:
                raise ValueError(
                    f"data_root: expected a folder for '{self.dataset_type}', got null"
                )
            if "scene" in self.model_fields_set:
                raise ValueError(f"scene: only for 'simulated' data, not '{self.dataset_type}'")
        return self


class TrainingDataOptions(DataOptions):
    """The crops to train on. The batch size is global: it is shared among all processes.

    Only for simulated scenes: `flows` adds exact displacements to the samples (the loss `Flow`);
    `crops_per_scene` consecutive samples show one scene; `sensor_rows` is the share [low, high] of
    the sensor's rows that crops come from.
    """

    split: str = "train"
    patch_size: PositiveInt = 256
    times: Literal["released", "continuous"] = "released"
    augment: bool = True
    dataloader_batch_size: PositiveInt = 48
    dataloader_num_workers: NonNegativeInt = 8
    flows: bool = False
    crops_per_scene: PositiveInt = 1
    sensor_rows: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(le=1)]] = (0.0, 1.0)

    @model_validator(mode="after")
    def _fits_the_images(self) -> Self:
        if self.patch_size % _GRID:
            raise ValueError(f"patch_size: expected a multiple of {_GRID}, got {self.patch_size}")
        if self.dataset_type == "simulated":
            low, high = self.sensor_rows
            room = min(round((high - low) * self.scene.height), self.scene.width)
            if self.patch_size > room:
                raise ValueError(
                    f"patch_size: {self.patch_size} is larger than the scene "
                    f"({self.scene.height}x{self.scene.width}) within sensor_rows "
                    f"[{low:g}, {high:g}]; expected at most {room}"
                )
        for key in ("flows", "crops_per_scene", "sensor_rows"):
            if self.dataset_type != "simulated" and key in self.model_fields_set:
                raise ValueError(f"{key}: only for 'simulated' data, not '{self.dataset_type}'")
        return self


class ValidationDataOptions(DataOptions):
    """The captures to validate on; `count` takes the first so many, null takes all."""

    split: str = "valid"
    count: PositiveInt | None = None
    seed: NonNegativeInt = 1_000_000

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.dataset_type == "simulated" and self.count is None:
            raise ValueError("count: expected how many scenes to simulate, got null")
        return self


class DatasetOptions(OptionGroup):
    """Training data, and validation data if any."""

    train: TrainingDataOptions
    valid: ValidationDataOptions | None = None


class PathOptions(OptionGroup):
    """Files and folders; outputs go to `root`/`task`.

    `pretrained_netG`: generator weights to start from; in stage 2 also the teacher's.
    `pretrained_rsg`: PWC-Net weights for the flow between frames, or "dis" for OpenCV's DIS flow.
    `perceptual_weights`: VGG-19 weights: a file, or "imagenet" for torchvision's.
    """

    root: str = "experiments"
    pretrained_netG: str | None = None  # noqa: N815
    pretrained_rsg: str | None = None
    perceptual_weights: str | None = None


class GeneratorOptions(OptionGroup):
    """Size of the generator (width 1.0 is the released one) and its channel order."""

    n_feats: PositiveInt = 32
    width: PositiveFloat = 1.0
    channels: Literal["rgb", "bgr"] = "rgb"


class StepOptions(OptionGroup):
    """Objective, optimiser, schedule, and how often to print, save and validate (in steps).

    `border` (stage 2): rows and columns the teacher sees beyond the student's crop, on each side.
    `warmup_steps`: the learning rate rises linearly over so many steps.
    `threads`: CPU threads per process, null leaves PyTorch's choice.
    """

    objective: Literal["cycle", "distillation", "supervised"]
    G_lossfn_type: str
    sampling: Literal["aligned", "released"] = "aligned"
    flow_gradients: bool = True
    iterations: PositiveInt
    G_optimizer_lr: PositiveFloat = 1e-4
    G_optimizer_wd: NonNegativeFloat = 0.01
    G_optimizer_clipgrad: PositiveFloat = 20.0
    G_scheduler_periods: PositiveInt = 300_000
    G_scheduler_eta_min: NonNegativeFloat = 1e-7
    warmup_steps: NonNegativeInt = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    border: NonNegativeInt = 32
    checkpoint_print: PositiveInt = 100
    checkpoint_save: PositiveInt = 5_000
    checkpoint_test: PositiveInt = 5_000
    keep_last: PositiveInt = 3
    threads: PositiveInt | None = None

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each loss term by name."""
        return parse_loss(self.G_lossfn_type, self.objective)

    @model_validator(mode="after")
    def _known_terms(self) -> Self:
        try:
            parse_loss(self.G_lossfn_type, self.objective)
        except InputError as error:
            raise ValueError(f"G_lossfn_type: {error}") from error
        return self

    @model_validator(mode="after")
    def _falling_rate(self) -> Self:
        if self.G_scheduler_eta_min > self.G_optimizer_lr:
            raise ValueError(
                f"G_scheduler_eta_min: expected at most G_optimizer_lr "
                f"({self.G_optimizer_lr:g}), got {self.G_scheduler_eta_min:g}"
            )
        return self


class TrainingOptions(OptionGroup):
    """Everything a training run needs; `options/train_stage1.json` shows it filled in."""

    task: TaskName
    seed: NonNegativeInt = 0
    device: DeviceName = "auto"
    path: PathOptions
    datasets: DatasetOptions
    netG: GeneratorOptions = GeneratorOptions()  # noqa: N815
    train: StepOptions

    @model_validator(mode="after")
    def _agree(self) -> Self:
        self._check_networks()
        if self.train.objective == "supervised" and self.datasets.train.dataset_type == "real":
            raise ValueError("train.objective: 'supervised' needs true frames; 'real' has none")
        if self.train.objective == "distillation":
            self._check_border()
        if "Flow" in self.train.loss_weights and not self.datasets.train.flows:
            raise ValueError("datasets.train.flows: the term 'Flow' needs exact flows, got false")
        return self

    def _check_networks(self) -> None:
        """Every network the objective asks for has its weights named."""
        objective = self.train.objective
        if objective != "supervised" and self.path.pretrained_rsg is None:
            raise ValueError(
                f"path.pretrained_rsg: '{objective}' needs a PWC-Net file or \"dis\", got null"
            )
        if objective == "distillation" and self.path.pretrained_netG is None:
            raise ValueError("path.pretrained_netG: 'distillation' needs stage-1 weights, got null")
        if "Perceptual" in self.train.loss_weights and self.path.perceptual_weights is None:
            raise ValueError(
                "path.perceptual_weights: the term 'Perceptual' needs a VGG-19 file or "
                '"imagenet", got null'
            )

    def _check_border(self) -> None:
        """The student's crop is a positive multiple of the generator's grid."""
        patch, border = self.datasets.train.patch_size, self.train.border
        inner = patch - 2 * border
        if inner <= 0 or inner % _GRID:
            raise ValueError(
                f"train.border: expected patch_size - 2 * border to be a positive multiple of "
                f"{_GRID}, got {patch} - 2 * {border} = {inner}"
            )


def expect_objective(options: TrainingOptions, *allowed: str) -> None:
    """Check that a script can serve the objective.

    Raises:
        InputError: it cannot.
    """
    if options.train.objective not in allowed:
        raise InputError(
            f"'train.objective' must be {' or '.join(map(repr, allowed))} for this script, "
            f"got {options.train.objective!r}"
        )
