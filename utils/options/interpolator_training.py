"""Options of interpolator training; `options/recipes/train_interpolator.json` is an example."""

from typing import Annotated, Literal

from pydantic import Field

from utils.options.files import DeviceName, FolderName, OptionGroup
from utils.options.flow_training import (
    FlowTrainingDataOptions,
    FlowTrainingOptions,
    FlowValidationDataOptions,
)
from utils.options.training import LoopOptions, Seed, TrainingOptions


class InterpolatorPathOptions(OptionGroup):
    """Outputs go to `root`/`task`.

    `pretrained_interpolator`: interpolator weights to start from, ours or released, or null.
    """

    root: str = "experiments"
    pretrained_interpolator: str | None = None


class InterpolatorTrainingDataOptions(FlowTrainingDataOptions):
    """The crops to train on: two frames, and an image whose rows are exposed between them.

    `augment`: flip crops at random.
    """


class InterpolatorDatasetOptions(OptionGroup):
    """Data sets: `train`; `valid`, null trains without validation."""

    train: InterpolatorTrainingDataOptions
    valid: FlowValidationDataOptions | None = None


class InterpolatorNetworkOptions(OptionGroup):
    """`width`: scales all channels of the interpolator; 1.0 is the released network."""

    width: Annotated[float, Field(gt=0, le=8)] = 1.0


class InterpolatorStepOptions(LoopOptions):
    """Loss of the interpolator, and the training loop (`LoopOptions`).

    `objective`: always "interpolation".
    `G_lossfn_type`: weighted loss terms: Charbonnier and Lap of the image, Motion of its flows.
    """

    objective: Literal["interpolation"] = "interpolation"
    G_lossfn_type: str = "1*Lap|0.01*Motion"


class InterpolatorTrainingOptions(OptionGroup):
    """All options of interpolator training.

    `task`, `seed`, `device`: as in `utils.options.training.TrainingOptions`.
    `path`, `datasets`, `netI`, `train`: groups of options.
    """

    task: FolderName
    seed: Seed = 0
    device: DeviceName = "auto"
    path: InterpolatorPathOptions = InterpolatorPathOptions()
    datasets: InterpolatorDatasetOptions
    netI: InterpolatorNetworkOptions = InterpolatorNetworkOptions()  # noqa: N815
    train: InterpolatorStepOptions


AnyTrainingOptions = TrainingOptions | FlowTrainingOptions | InterpolatorTrainingOptions
"""Options of any training run."""
