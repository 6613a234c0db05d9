"""Options of flow training; `options/recipes/train_flow.json` is an example."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator
from typing_extensions import Self

from models.parts.settings import FLOW_SIZE_MULTIPLE
from utils.options.data import DataOptions
from utils.options.files import DeviceName, FolderName, OptionGroup, changed
from utils.options.training import LoopOptions, Seed

_Share = Annotated[float, Field(ge=0, le=1)]
_Side = Annotated[PositiveInt, Field(multiple_of=FLOW_SIZE_MULTIPLE)]
_Size = tuple[_Side, _Side]
_LEVELS = 5  # of the network, that predict a flow
_OF_CAMERAS = ("exposure", "gamma", "shot_noise", "read_noise", "view_difference", "parallax")


class FlowPathOptions(OptionGroup):
    """Outputs go to `root`/`task`; `pretrained_rsg`: PWC-Net weights to start from, or null."""

    root: str = "experiments"
    pretrained_rsg: str | None = None


class FlowDataOptions(DataOptions):
    """Simulated scenes (`dataset_type`); see `utils.options.data.DataOptions`.

    Cameras are ideal; noise and changes of brightness are drawn for each crop instead.
    """

    dataset_type: Literal["simulated"] = "simulated"

    @model_validator(mode="after")
    def _has_ideal_cameras(self) -> Self:
        for key in _OF_CAMERAS:
            if changed(self.scene, key):
                raise ValueError(f"scene.{key}: global-shutter frames are ideal; leave it out")
        return self


class FlowTrainingDataOptions(FlowDataOptions):
    """The crops to train on (`data.training.flow_pairs.FlowSetSettings`).

    `patch_sizes`: list of [rows, columns], multiples of 64, to draw from for each step. A network
    trained on a single size fails on others.
    `augment`: flip crops, and change brightness, tint and noise, at random.
    `crops_per_scene`: number of consecutive samples from one scene.
    `first_strength`, `ramp_steps`: curriculum: the motion of the scenes is scaled by
    `first_strength` at first, and by a factor that rises to 1 over `ramp_steps` steps.
    `dataloader_batch_size`: samples per step, over all processes.
    `dataloader_num_workers`: loader processes per training process.
    """

    patch_sizes: Annotated[list[_Size], Field(min_length=1)] = [(256, 256)]
    augment: bool = True
    crops_per_scene: PositiveInt = 1
    first_strength: _Share = 1.0
    ramp_steps: NonNegativeInt = 0
    dataloader_batch_size: PositiveInt = 8
    dataloader_num_workers: NonNegativeInt = 8

    @model_validator(mode="after")
    def _fits_the_scenes(self) -> Self:
        for size in self.patch_sizes:
            if size[0] > self.scene.height or size[1] > self.scene.width:
                raise ValueError(
                    f"patch_sizes: {list(size)} is larger than the scene, "
                    f"{[self.scene.height, self.scene.width]}"
                )
        return self


class FlowValidationDataOptions(FlowDataOptions):
    """Pairs of whole frames to validate on: `count` scenes drawn with `seed`."""

    count: PositiveInt
    seed: NonNegativeInt = 1_000_000


class FlowDatasetOptions(OptionGroup):
    """Data sets: `train`; `valid`, null trains without validation."""

    train: FlowTrainingDataOptions
    valid: FlowValidationDataOptions | None = None


class FlowNetworkOptions(OptionGroup):
    """`matching`: how PWC-Net compares features (`models.parts.pwc_blocks.Matching`).

    "product" is the paper's; "cosine" converges in far fewer steps. Weight files state it.
    """

    matching: Literal["product", "cosine"] = "cosine"


class FlowStepOptions(LoopOptions):
    """Loss of PWC-Net (`models.losses.flow.FlowObjective`), and the training loop (`LoopOptions`).

    `objective`: always "flow"; not recorded.
    `G_lossfn_type`: weighted loss terms such as "1*Endpoint|0.1*Matching".
    `finest_level`: train levels 6 to this one; finer levels are frozen.
    `level_weights`: weights of the endpoint errors of the levels, coarsest first.
    `error_exponent`: exponent of the endpoint errors.
    `hidden_weight`: weight of occluded pixels and of those that leave the image.
    """

    objective: Annotated[Literal["flow"], Field(exclude=True)] = "flow"
    G_lossfn_type: str = "1*Endpoint"
    finest_level: Annotated[int, Field(ge=2, le=5)] = 2
    level_weights: Annotated[
        list[NonNegativeFloat], Field(min_length=_LEVELS, max_length=_LEVELS)
    ] = [1, 1, 1, 2, 4]
    error_exponent: Annotated[float, Field(gt=0, le=1)] = 1.0
    hidden_weight: _Share = 0.2

    @model_validator(mode="after")
    def _weighs_a_level(self) -> Self:
        if not any(self.level_weights[: 7 - self.finest_level]):
            raise ValueError("level_weights: expected one above 0 among the levels in training")
        return self


class FlowTrainingOptions(OptionGroup):
    """All options of flow training.

    `task`, `seed`, `device`: as in `utils.options.training.TrainingOptions`.
    `path`, `datasets`, `netF`, `train`: groups of options.
    """

    task: FolderName
    seed: Seed = 0
    device: DeviceName = "auto"
    path: FlowPathOptions = FlowPathOptions()
    datasets: FlowDatasetOptions
    netF: FlowNetworkOptions = FlowNetworkOptions()  # noqa: N815
    train: FlowStepOptions
