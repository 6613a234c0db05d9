"""Options of both training stages; keys as in the released option files."""

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

from data.layouts import LAYOUTS
from models.losses.table import TERMS, parse_loss
from models.networks import network_class
from models.parts.settings import SIZE_MULTIPLE, Channels, MotionEstimate, Precision
from utils.errors import InputError
from utils.options.data import TrainingDataOptions, ValidationDataOptions
from utils.options.files import DeviceName, FolderName, OptionGroup, changed
from utils.options.parts.network import GeneratorOptions
from utils.options.parts.rebuilding import Rebuilding, expect_lap_size, expect_rebuilder

Seed = Annotated[int, Field(ge=0, lt=2**62)]
"""Each process adds its rank, and PyTorch takes signed 64-bit numbers."""

_MIN_HIDDEN_SHARE = 0.01


class DatasetOptions(OptionGroup):
    """Data sets: `train`; `valid`, null trains without validation."""

    train: TrainingDataOptions
    valid: ValidationDataOptions | None = None


class PathOptions(OptionGroup):
    """Files and folders; outputs go to `root`/`task`.

    `pretrained_netG`: weights of the network to start from; in stage 2 also the teacher's.
    `pretrained_rsg`: flow between frames: a file of PWC-Net weights, "raft_small" or "raft_large"
    for torchvision's RAFT (downloaded once), or "dis" for OpenCV's DIS flow.
    `pretrained_interpolator`: for `train.rebuilding` "interpolation": RIFE with distance maps, such
    as `flownet_sdi.pkl` of InterpAny-Clearer.
    `perceptual_weights`: VGG-19 weights: a file, or "imagenet" for torchvision's.
    """

    root: str = "experiments"
    pretrained_netG: str | None = None  # noqa: N815
    pretrained_rsg: str | None = None
    pretrained_interpolator: str | None = None
    perceptual_weights: str | None = None


class LoopOptions(OptionGroup):
    """Loss, optimiser, schedule, and how often to log, save and validate.

    `objective`: what to minimise; it decides which loss terms there are.
    `G_lossfn_type`: weighted loss terms such as "1*Charbonnier|0.1*Perceptual|0.1*Variation".
    `iterations`: total number of steps, including those before a checkpoint.
    `epoch_steps`: counts `iterations` and `G_scheduler_periods` in epochs of so many steps, over
    which the learning rate is constant; "auto" is one pass over the captures of a folder.
    `G_optimizer_lr`, `G_optimizer_wd`: learning rate and weight decay of AdamW.
    `G_optimizer_clipgrad`: maximum total norm of the gradients.
    `G_scheduler_periods`, `G_scheduler_eta_min`: cosine annealing with warm restarts: period in
    steps, and minimum learning rate.
    `warmup_steps`: steps over which the learning rate rises linearly.
    `precision`: of network and loss; "auto" is bfloat16 where the hardware supports it (elsewhere
    bfloat16 is many times slower).
    `checkpoint_print`, `checkpoint_save`, `checkpoint_test`: steps between log lines, checkpoints
    and validations.
    `keep_last`: number of checkpoints to keep.
    `keep_weights_every`: keep the weights of every so many steps, too; null keeps none.
    `average_decay`: decay per step of a moving average of the weights, such as 0.999; it is scored
    and saved beside them. null, as released: no average.
    `threads`: CPU threads per process; null keeps PyTorch's default.
    `accumulation_steps`: micro-batches per step and process. Same gradient, less memory; only the
    random pixels of `hidden_share` differ.
    """

    objective: str
    G_lossfn_type: str
    iterations: PositiveInt
    epoch_steps: PositiveInt | Literal["auto"] = 1
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
    keep_weights_every: PositiveInt | None = None
    average_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    accumulation_steps: PositiveInt = 1

    @property
    def steps(self) -> int:
        """Total number of steps; a training run has replaced `epoch_steps` "auto" by a number."""
        return self.iterations * int(self.epoch_steps)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each loss term by name."""
        return parse_loss(self.G_lossfn_type, self.objective)

    @model_validator(mode="after")
    def _known_terms_and_falling_rate(self) -> Self:
        try:
            parse_loss(self.G_lossfn_type, self.objective)
        except InputError as error:
            raise ValueError(f"G_lossfn_type: {error}") from error
        if self.G_scheduler_eta_min > self.G_optimizer_lr:
            raise ValueError(
                f"G_scheduler_eta_min: expected at most G_optimizer_lr "
                f"({self.G_optimizer_lr:g}), got {self.G_scheduler_eta_min:g}"
            )
        return self


class StepOptions(LoopOptions):
    """Objective of a correction network, and the training loop (`LoopOptions`).

    `objective`: "cycle" is stage 1, "distillation" stage 2, "supervised" trains on true frames.
    `rebuilding` (not "supervised"): what rebuilds the inputs from the frames: "flow" reverses flow
    between them, as SelfDRSC; "interpolation" takes a frozen interpolator, as SelfDRSC++.
    `sampling` (not "supervised"): sampling rule of the distortion: "aligned", or "released" with
    the half-pixel shift of the released code.
    `perceptual_channels`: channel order in which the VGG-19 of `Perceptual` sees the images: "rgb"
    as it was trained, or "bgr" as released.
    `flow_gradients` (not "supervised"): let gradients reach the frames through the flow, too; "dis"
    passes none.
    `charbonnier_epsilon` ("supervised"): inside the root of Charbonnier; IFED has 1e-6.
    `border` (stage 2): rows and columns on each side of the student's crop that only the teacher
    sees.
    `hidden_share`: share of the pixels to hide from the network, which has to rebuild them. 0 is
    the paper's; 0.1 keeps the network from copying noise. Not with `Perceptual`, which needs whole
    images.
    `motion_estimate` ("refiner"): what finds the motion cues of samples: "opencv" in the loader, or
    "torch" on `device`, those of a batch in one call; "auto" is "torch" on a CUDA device without
    `distinct_samples`, else "opencv". Scores use it, too.
    `gradient_checkpointing` (networks that support it): store only each block's input and recompute
    its activations in the backward pass; less memory, more time.
    `compile` (networks that support it): "default" compiles the network by `torch.compile` before
    the first step, which takes minutes; "reduce-overhead" adds CUDA graphs (not measured on a GPU).
    Results differ from those of "off" by rounding.
    """

    objective: Literal["cycle", "distillation", "supervised"]
    rebuilding: Rebuilding = "flow"
    sampling: Literal["aligned", "released"] = "aligned"
    perceptual_channels: Channels = "rgb"
    flow_gradients: bool = True
    charbonnier_epsilon: PositiveFloat = 1e-9
    border: NonNegativeInt = 32
    hidden_share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    motion_estimate: MotionEstimate = "auto"
    gradient_checkpointing: bool = False
    compile: Literal["off", "default", "reduce-overhead"] = "off"

    @model_validator(mode="after")
    def _fits_the_objective(self) -> Self:
        if self.compile != "off" and self.gradient_checkpointing:
            raise ValueError("compile: not with gradient_checkpointing; set one of them to off")
        if changed(self, "charbonnier_epsilon") and self.objective != "supervised":
            raise ValueError(f"charbonnier_epsilon: only for 'supervised', not '{self.objective}'")
        if not self.hidden_share:
            return self
        if self.objective == "supervised":
            raise ValueError("hidden_share: only for 'cycle' and 'distillation', got 'supervised'")
        if self.hidden_share < _MIN_HIDDEN_SHARE:
            raise ValueError(
                f"hidden_share: expected 0 or at least {_MIN_HIDDEN_SHARE:g}, so that every crop "
                f"has hidden pixels, got {self.hidden_share:g}"
            )
        for name in self.loss_weights:
            if TERMS[name].kind == "images":
                raise ValueError(
                    f"hidden_share: {name} needs whole images; remove the term, or set it to 0"
                )
        return self


class TrainingOptions(OptionGroup):
    """All options of a training run; `options/train_stage1.json` is an example.

    `task`: name of the run and of its folder.
    `seed`: of initial weights, crops and simulated scenes.
    `device`: "auto" uses a GPU if there is one.
    `path`, `datasets`, `netG`, `train`: groups of options.
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
    def _fits_the_network(self) -> Self:
        name = self.netG.net_type
        for key, needed, default in (
            ("gradient_checkpointing", "checkpointed_step_bytes", "false"),
            ("compile", "compiles", "'off'"),
            ("motion_estimate", "needs_cues", "'auto'"),
        ):
            if changed(self.train, key) and not getattr(network_class(name), needed):
                raise ValueError(f"train.{key}: not for the network '{name}'; set it to {default}")
        return self

    @model_validator(mode="after")
    def _names_all_weights(self) -> Self:
        objective = self.train.objective
        if objective != "supervised":
            path = self.path
            networks = {"flow": path.pretrained_rsg, "interpolator": path.pretrained_interpolator}
            expect_rebuilder(self.train.rebuilding, objective, **networks)
        if objective == "distillation" and self.path.pretrained_netG is None:
            raise ValueError("path.pretrained_netG: 'distillation' needs stage-1 weights, got null")
        for name in self.train.loss_weights:
            key = TERMS[name].weights_from
            if key and self.weight_file(key) is None:
                raise ValueError(
                    f"{key}: the term '{name}' needs a weight file (of Perceptual's VGG-19, or "
                    '"imagenet"), got null'
                )
            if TERMS[name].kind == "true flows" and not self.datasets.train.flows:
                raise ValueError(
                    f"datasets.train.flows: the term '{name}' needs exact flows, got false"
                )
        return self

    @model_validator(mode="after")
    def _fits_the_data(self) -> Self:
        train, valid = self.datasets.train, self.datasets.valid
        if self.netG.instants is not None and self.train.objective != "supervised":
            raise ValueError(
                f"train.objective: '{self.netG.net_type}' is trained on true frames, by "
                f"'supervised', got '{self.train.objective}'"
            )
        if self.train.epoch_steps == "auto" and train.has_splits is None:
            raise ValueError("train.epoch_steps: simulated scenes have no epochs; give a number")
        has_truth = train.has_splits is None or LAYOUTS[train.dataset_type].has_truth
        if self.train.objective == "supervised" and not has_truth:
            raise ValueError(
                f"train.objective: 'supervised' needs true frames; '{train.dataset_type}' have none"
            )
        if self.train.objective == "distillation":
            self._check_border()
        if "Lap" in self.train.loss_weights:
            border = self.train.border if self.train.objective == "distillation" else 0
            expect_lap_size(self.datasets.train.patch, border)
        if valid is not None and valid.every is not None and train.has_splits is not False:
            raise ValueError(
                "datasets.valid.every: holds out some of the training captures, but "
                f"datasets.train.dataset_type is '{train.dataset_type}'"
            )
        return self

    def _check_border(self) -> None:
        """Check that the student's crop is a positive multiple of `SIZE_MULTIPLE`."""
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
    """Check that a script trains with the objective.

    Raises:
        InputError: it does not.
    """
    if options.train.objective not in allowed:
        raise InputError(
            f"'train.objective' must be {' or '.join(map(repr, allowed))} for this script, "
            f"got {options.train.objective!r}"
        )
