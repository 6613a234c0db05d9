"""Options of flow training: `options/recipes/train_flow.json` shows them filled in."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator
from typing_extensions import Self

from models.losses.table import parse_loss
from models.parts.settings import FLOW_SIZE_MULTIPLE
from utils.errors import InputError
from utils.options.data import DataOptions
from utils.options.files import DeviceName, FolderName, OptionGroup, changed
from utils.options.training import LoopOptions, Seed

_Share = Annotated[float, Field(ge=0, le=1)]
_Side = Annotated[PositiveInt, Field(multiple_of=FLOW_SIZE_MULTIPLE)]
_Size = tuple[_Side, _Side]
_LEVELS = 5  # of the network that have a flow
_OF_CAMERAS = ("exposure", "gamma", "shot_noise", "read_noise", "view_difference", "parallax")


class FlowPathOptions(OptionGroup):
    """Outputs go to `root`/`task`; `pretrained_rsg`: PWC-Net weights to start from, if any."""

    root: str = "experiments"
    pretrained_rsg: str | None = None


class FlowDataOptions(DataOptions):
    """Simulated scenes (`dataset_type`); see `utils.options.data.DataOptions`.

    Their frames are ideal; noise and differences of brightness are drawn for each crop.
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

    `augment`: whether they are flipped and change in brightness. `crops_per_scene` show one scene.
    `dataloader_batch_size`: of all processes together, which share it.
    `dataloader_num_workers`: of each process.

    `patch_sizes`: [rows, columns] to choose from for each step, multiples of 64. Networks that see
    one size alone fail on others.
    The motion of the scenes grows from `first_strength` of theirs to all of it over the first
    `ramp_steps` steps.
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
    """The first `count` pairs of whole frames to validate on, of scenes by `seed`."""

    count: PositiveInt
    seed: NonNegativeInt = 1_000_000


class FlowDatasetOptions(OptionGroup):
    """Data: `train`, and `valid` if the run is to be validated."""

    train: FlowTrainingDataOptions
    valid: FlowValidationDataOptions | None = None


class FlowNetworkOptions(OptionGroup):
    """`matching`: how PWC-Net compares features (`models.parts.pwc_blocks.Matching`).

    "product" is the paper's; "cosine" learns much sooner, and its weight files say so.
    """

    matching: Literal["product", "cosine"] = "cosine"


class FlowStepOptions(LoopOptions):
    """Loss of the flow network (`models.losses.flow.FlowObjective`), and the loop.

    `G_lossfn_type`: weighted terms such as "1*Endpoint|0.1*Matching".
    `finest_level`: levels from the 6th to this one are trained; those beyond stay as they are.
    `level_weights`: of the levels' endpoint errors, coarsest first.
    `error_exponent`: of the endpoint errors. `hidden_weight`: of pixels not seen in both frames.
    """

    G_lossfn_type: str = "1*Endpoint"
    finest_level: Annotated[int, Field(ge=2, le=5)] = 2
    level_weights: Annotated[
        list[NonNegativeFloat], Field(min_length=_LEVELS, max_length=_LEVELS)
    ] = [1, 1, 1, 2, 4]
    error_exponent: Annotated[float, Field(gt=0, le=1)] = 1.0
    hidden_weight: _Share = 0.2

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each loss term by name."""
        return parse_loss(self.G_lossfn_type, "flow")

    @model_validator(mode="after")
    def _known_terms(self) -> Self:
        try:
            parse_loss(self.G_lossfn_type, "flow")
        except InputError as error:
            raise ValueError(f"G_lossfn_type: {error}") from error
        if not any(self.level_weights[: 7 - self.finest_level]):
            raise ValueError("level_weights: expected one above 0 among the levels in training")
        return self


class FlowTrainingOptions(OptionGroup):
    """Everything that flow training needs.

    `task`, `seed`, `device`: name of the run, its randomness, what computes.
    `path`, `datasets`, `netF`, `train`: groups of their own.
    """

    task: FolderName
    seed: Seed = 0
    device: DeviceName = "auto"
    path: FlowPathOptions = FlowPathOptions()
    datasets: FlowDatasetOptions
    netF: FlowNetworkOptions = FlowNetworkOptions()  # noqa: N815
    train: FlowStepOptions
