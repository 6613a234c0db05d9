"""Which frames a test makes of each capture, and how it scores and saves them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.capture import CapturePair
from data.dataset_writer.folder import read_unconnected
from data.layouts import CaptureFolder, ends_of_sequences, frame_at
from models.parts.settings import frame_instants, list_instants
from utils.errors import InputError
from utils.evaluation.smoothness import find_followers
from utils.metrics import PROTOCOLS, Rounding
from utils.options.evaluation import EvaluationOptions
from utils.options.parts.frame_names import FrameLayoutName
from utils.options.parts.tested import BenchmarkOptions
from utils.system.distributed import Processes

DEFAULT_FRAMES = 9
"""Number of frames of a capture without truth where the options name none."""

FRAME_FOLDERS: Mapping[Rounding, str] = {"rounded": "frames", "floored": "frames_floored"}


@dataclass(frozen=True)
class EvaluationPlan:
    """Which frames to make of each capture, and how to score them.

    Attributes:
        times: instants of the frames, and of the true frames if there are any.
        protocols: keys of `PROTOCOLS` to score under; empty without truth.
        baselines: whether to score `BASELINES`, too.
        folder: where to save frames; None saves none.
        truth_frames: indices of the true frames at `times`; None: all of them.
        layout: names of saved frames.
        saved: methods whose frames to save, each in a folder of its own; None saves those of the
            first method, in no folder of its own.
        optional_metrics: metrics to compute that need a package or weights.
        followers: of each pair the one that follows it without a gap.
        remark: which instants are scored, if they are not all those with true frames.
    """

    times: tuple[float, ...]
    protocols: tuple[str, ...]
    baselines: bool
    folder: Path | None
    truth_frames: tuple[int, ...] | None = None
    layout: FrameLayoutName = "ours"
    saved: tuple[str, ...] | None = None
    optional_metrics: tuple[str, ...] = ()
    followers: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""

    def load(self, captures: CaptureFolder, index: int) -> CapturePair:
        """Read a capture with its true frames at `times`."""
        if self.truth_frames is None:
            return captures[index]
        return captures.load(index, self.truth_frames)

    @property
    def roundings(self) -> tuple[Rounding, ...]:
        """How frames are converted to 8 bit, each way once."""
        needed: list[Rounding] = [PROTOCOLS[name].rounding for name in self.protocols]
        return tuple(dict.fromkeys(needed)) or ("rounded",)

    def frames_folder(self, method: str, rounding: Rounding, *, is_first: bool) -> Path | None:
        """Folder of the saved frames of a method; None if they are not saved."""
        if self.folder is None:
            return None
        folder = self.folder / FRAME_FOLDERS[rounding]
        if self.saved is None:
            return folder if is_first else None
        return folder / method if method in self.saved else None


def plan_evaluation(
    captures: CaptureFolder,
    options: EvaluationOptions,
    folder: Path,
    instants: tuple[float, ...] | None = None,
    *,
    data: BenchmarkOptions | None = None,
) -> EvaluationPlan:
    """Plan frames at the instants of the truth or, without truth, at equally spaced instants.

    If the methods under test make certain instants only, all methods are scored at those of them
    that have true frames.

    Args:
        captures: the benchmark; all its captures have the same number of true frames.
        options: protocols, number of frames, and whether to save them.
        folder: the folder of the test.
        instants: the only instants that all methods under test make
            (`utils.evaluation.methods.common_instants`); None: any.
        data: the test set; by default the first of the options.

    Raises:
        InputError: the number of true frames, or of these instants, differs from the option; there
            is no true frame at these instants; a protocol leaves out all pairs; or frames would be
            neither scored nor saved; or `dataset.json` cannot be read.
    """
    truth = captures.frame_count(0)
    if instants is not None:
        _expect_count(instants, options)
    elif truth and options.frames not in (None, truth):
        raise InputError(
            f"{captures.names[0]}: {truth} true frames, but the options ask for "
            f"{options.frames}; set frames={truth} or frames=null"
        )
    if not truth and not options.save_images:
        raise InputError(
            f"{captures.names[0]}: no true frames to score against, and save_images is false; "
            "set save_images=true"
        )
    protocols = options.protocols if truth else ()
    dropping = [name for name in protocols if PROTOCOLS[name].drops_ends]
    if dropping and len(ends_of_sequences(captures)) == len(captures):
        raise InputError(
            f"protocol '{dropping[0]}' leaves out the first and last pair of each sequence, and no "
            "sequence has more than these; choose another protocol"
        )
    times = frame_instants(truth or options.frames or DEFAULT_FRAMES)
    truth_frames = None
    if instants is not None and instants != times:
        times, truth_frames = (
            _with_truth(captures, instants, options) if truth else (instants, None)
        )
    data = data or next(iter(options.datasets.sets.values()))
    # Two pairs meet only where the last frame of one and the first of the next are both made.
    may_meet = (times[0], times[-1]) == (0, 1)
    unconnected = read_unconnected(data.data_root, data.split)
    return EvaluationPlan(
        times=times,
        protocols=protocols,
        baselines=options.baselines and truth > 0,
        folder=folder if options.save_images else None,
        truth_frames=truth_frames,
        layout=options.frame_layout,
        optional_metrics=options.optional_metrics,
        followers=find_followers(captures.names, unconnected) if may_meet else {},
        remark="" if truth_frames is None else _describe_instants(times, options),
    )


def _describe_instants(times: tuple[float, ...], options: EvaluationOptions) -> str:
    """Remark on the instants that are scored."""
    listed, who = list_instants(times), _who_makes(options)
    return f"Scored at t = {listed} only, where {who} frames and truth exists."


def _who_makes(options: EvaluationOptions) -> str:
    return "the network makes" if options.methods is None else "all methods make"


def _expect_count(instants: tuple[float, ...], options: EvaluationOptions) -> None:
    """Check that as many frames are asked for as the networks make."""
    if options.frames in (None, len(instants)):
        return
    if options.methods is None:
        who = f"{options.path.pretrained_netG}: its network makes"
    else:
        who = "methods: all their networks make"
    raise InputError(
        f"{who} {len(instants)} frame{'s'[: len(instants) > 1]}, at t = {list_instants(instants)}, "
        f"but the options ask for {options.frames}; set frames=null or use other weights"
    )


def _with_truth(
    captures: CaptureFolder, instants: tuple[float, ...], options: EvaluationOptions
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The instants that have true frames, and the indices of these frames."""
    truth = captures.frame_count(0)
    found = {t: frame_at(t, truth) for t in instants}
    numbers = {t: number for t, number in found.items() if number is not None}
    if not numbers:
        raise InputError(
            f"{captures.names[0]}: {truth} true frames, none of them at t = "
            f"{list_instants(instants)}, which is all that {_who_makes(options)}; use other weights"
        )
    return tuple(numbers), tuple(numbers.values())


def share_of(count: int, processes: Processes) -> range:
    """The captures of this process: neighbours, as many as those of others or one more."""
    least, more = divmod(count, processes.world_size)
    start = least * processes.rank + min(processes.rank, more)
    return range(start, start + least + (processes.rank < more))
