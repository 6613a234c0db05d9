"""Training options: what can be set and what each value may be; keys as in the released files."""

from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from typing_extensions import Self

from data.layouts import LAYOUTS, SIMULATED
from models.losses.table import TERMS, parse_loss
from models.networks import NETWORKS, network_class
from models.parts.settings import SIZE_MULTIPLE, Channels, Precision
from utils.errors import InputError
from utils.options.data import (
    TrainingDataOptions,
    ValidationDataOptions,
)
from utils.options.files import DeviceName, FolderName, OptionGroup, one_of

Seed = Annotated[int, Field(ge=0, lt=2**62)]
"""Of a run: each process adds its rank, and PyTorch takes 64 bits with a sign."""

_LEAST_HIDDEN = 0.01  # share of the pixels


class DatasetOptions(OptionGroup):
    """Data: `train`, and `valid` if the run is to be validated."""

    train: TrainingDataOptions
    valid: ValidationDataOptions | None = None


class PathOptions(OptionGroup):
    """Files and folders; outputs go to `root`/`task`.

    `pretrained_netG`: generator weights to start from; in stage 2 also the teacher's.
    `pretrained_rsg`: the flow between frames: a file of PWC-Net weights, "raft_small" or
    "raft_large" for torchvision's RAFT (downloaded once), or "dis" for OpenCV's DIS flow.
    `perceptual_weights`: VGG-19 weights: a file, or "imagenet" for torchvision's.
    """

    root: str = "experiments"
    pretrained_netG: str | None = None  # noqa: N815
    pretrained_rsg: str | None = None
    perceptual_weights: str | None = None


class GeneratorOptions(OptionGroup):
    """Kind and size of the network.

    `net_type`: "generator" is the released network, "refiner" starts from the classical correction.
    `n_feats`, `width`: scale its channels together; 32 and 1.0 are the released ones.
    `channels`: their order inside, "rgb", or "bgr" as in released weights.
    """

    net_type: Annotated[str, one_of(NETWORKS)] = "generator"
    n_feats: Annotated[int, Field(ge=1, le=1024)] = 32
    width: Annotated[float, Field(gt=0, le=8)] = 1.0
    channels: Channels = "rgb"

    @model_validator(mode="after")
    def _fits_the_type(self) -> Self:
        # Only where it matters: a network's class brings PyTorch.
        if self.channels != "rgb":
            orders = network_class(self.net_type).channel_orders
            if self.channels not in orders:
                raise ValueError(
                    f"channels: '{self.net_type}' works on '{orders[0]}', got '{self.channels}'"
                )
        return self


class LoopOptions(OptionGroup):
    """Optimiser, schedule, and what happens every so many steps.

    `iterations`: steps in all, those before a checkpoint included.
    `G_optimizer_lr`, `G_optimizer_wd`, `G_optimizer_clipgrad`: AdamW's learning rate and weight
    decay, and the norm that gradients are clipped to.
    `G_scheduler_periods`, `G_scheduler_eta_min`: the rate falls along half a cosine to this least
    one within so many steps, and begins anew then.
    `checkpoint_print`, `checkpoint_save`, `checkpoint_test`: after how many steps to log the
    losses, to save, and to validate.
    `keep_last`: so many checkpoints are kept.
    `precision`: of what the network and its objective compute; "auto" is bfloat16 where the
    hardware computes with it, which elsewhere takes many times as long.
    `warmup_steps`: the learning rate rises linearly over so many steps.
    `threads`: CPU threads per process, null leaves PyTorch's choice.
    `accumulation_steps`: a process takes its share of a batch in so many parts, one after another:
    the same step in less memory, but for which pixels `hidden_share` draws.
    """

    iterations: PositiveInt
    G_optimizer_lr: Annotated[float, Field(gt=0, le=1)] = 1e-4
    G_optimizer_wd: NonNegativeFloat = 0.01
    G_optimizer_clipgrad: PositiveFloat = 20.0
    G_scheduler_periods: PositiveInt = 300_000
    G_scheduler_eta_min: NonNegativeFloat = 1e-7
    warmup_steps: NonNegativeInt = 0
    precision: Precision = "float32"
    checkpoint_print: PositiveInt = 100
    checkpoint_save: PositiveInt = 5_000
    checkpoint_test: PositiveInt = 5_000
    keep_last: PositiveInt = 3
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    accumulation_steps: PositiveInt = 1

    @model_validator(mode="after")
    def _falling_rate(self) -> Self:
        if self.G_scheduler_eta_min > self.G_optimizer_lr:
            raise ValueError(
                f"G_scheduler_eta_min: expected at most G_optimizer_lr "
                f"({self.G_optimizer_lr:g}), got {self.G_scheduler_eta_min:g}"
            )
        return self


class StepOptions(LoopOptions):
    """Objective of the generator, and the loop that minimises it.

    `objective`: "cycle" is stage 1, "distillation" stage 2, "supervised" learns from true frames.
    `G_lossfn_type`: weighted terms such as "1*Charbonnier|0.1*Perceptual|0.1*Variation".
    `sampling`, not of "supervised": where the distortion samples, "aligned", or "released" with the
    half-pixel shift of the authors' code.
    `flow_gradients`, likewise: whether gradients reach the frames through the flow, too.
    `border` (stage 2): rows and columns the teacher sees beyond the student's crop, on each side.
    `hidden_share`: share of the pixels that the generator does not see and has to rebuild; 0 is the
    paper's, 0.1 keeps it from copying noise. Not with `Perceptual`, which needs whole images.
    `gradient_checkpointing`: what the blocks of net_type "generator" compute is made again going
    backwards instead of kept: less memory, more time.
    """

    objective: Literal["cycle", "distillation", "supervised"]
    G_lossfn_type: str
    sampling: Literal["aligned", "released"] = "aligned"
    flow_gradients: bool = True
    border: NonNegativeInt = 32
    hidden_share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    gradient_checkpointing: bool = False

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
        if self.hidden_share and self.objective == "supervised":
            raise ValueError("hidden_share: only for 'cycle' and 'distillation', got 'supervised'")
        if 0 < self.hidden_share < _LEAST_HIDDEN:
            raise ValueError(
                f"hidden_share: expected 0 or at least {_LEAST_HIDDEN:g}, for every crop to have "
                f"hidden pixels, got {self.hidden_share:g}"
            )
        whole = [name for name in self.loss_weights if TERMS[name].kind == "images"]
        if self.hidden_share and whole:
            raise ValueError(
                f"hidden_share: single pixels have no {whole[0]} distance; leave one of them out"
            )
        return self


class TrainingOptions(OptionGroup):
    """Everything a training run needs; `options/train_stage1.json` shows it filled in.

    `task`: name of the run, and of its folder.
    `seed`: of initial weights, crops and simulated scenes.
    `device`: "auto" takes a GPU if there is one.
    `path`, `datasets`, `netG`, `train`: groups of their own.
    """

    task: FolderName
    seed: Seed = 0
    device: DeviceName = "auto"
    path: PathOptions
    datasets: DatasetOptions
    netG: GeneratorOptions = GeneratorOptions()  # noqa: N815
    train: StepOptions

    def weight_file(self, key: str) -> str | None:
        """The value of an option of `path`, such as "path.perceptual_weights"."""
        value = getattr(self.path, key.removeprefix("path."))
        return None if value is None else str(value)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        self._check_networks()
        source = self.datasets.train.dataset_type
        has_truth = source == SIMULATED or LAYOUTS[source].has_truth
        if self.train.objective == "supervised" and not has_truth:
            raise ValueError(
                f"train.objective: 'supervised' needs true frames; '{source}' have none"
            )
        if self.train.objective == "distillation":
            self._check_border()
        for name in self.train.loss_weights:
            if TERMS[name].kind == "true flows" and not self.datasets.train.flows:
                raise ValueError(
                    f"datasets.train.flows: the term '{name}' needs exact flows, got false"
                )
        self._check_held_out()
        return self

    def _check_held_out(self) -> None:
        """Captures are held out of captures."""
        train, valid = self.datasets.train, self.datasets.valid
        is_one_folder = (
            train.dataset_type != SIMULATED and not LAYOUTS[train.dataset_type].has_splits
        )
        if valid is not None and valid.every is not None and not is_one_folder:
            raise ValueError(
                "datasets.valid.every: holds out some of the training captures, but "
                f"datasets.train.dataset_type is '{train.dataset_type}'"
            )

    def _check_networks(self) -> None:
        """Every network the objective asks for has its weights named."""
        objective = self.train.objective
        if self.train.gradient_checkpointing:
            name = self.netG.net_type
            if network_class(name).checkpointed_step_bytes is None:
                raise ValueError(
                    f"train.gradient_checkpointing: not for the network '{name}'; set it to false"
                )
        if objective != "supervised" and self.path.pretrained_rsg is None:
            raise ValueError(
                f"path.pretrained_rsg: '{objective}' needs a PWC-Net file, \"raft_small\", "
                f'"raft_large" or "dis", got null'
            )
        if objective == "distillation" and self.path.pretrained_netG is None:
            raise ValueError("path.pretrained_netG: 'distillation' needs stage-1 weights, got null")
        for name in self.train.loss_weights:
            key = TERMS[name].weights_from
            if key and self.weight_file(key) is None:
                raise ValueError(
                    f"{key}: the term '{name}' needs a weight file (of Perceptual's VGG-19, or "
                    '"imagenet"), got null'
                )

    def _check_border(self) -> None:
        """There is a border, and the student's crop is a positive multiple of the grid."""
        border = self.train.border
        if not border:
            raise ValueError("train.border: 'distillation' needs a border, got 0")
        for side in self.datasets.train.patch:
            inner = side - 2 * border
            if inner <= 0 or inner % SIZE_MULTIPLE:
                raise ValueError(
                    f"train.border: expected patch_size - 2 * border to be a positive multiple of "
                    f"{SIZE_MULTIPLE}, got {side} - 2 * {border} = {inner}"
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
