"""The methods of a test: corrections, and folders of frames that any program has made."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data.capture import CapturePair
from data.layouts import CaptureFolder
from models.inference.correction import BASELINES, CLASSICAL, Corrected, Correction, instants_of
from models.parts.settings import Blending, MotionEstimate, list_instants
from utils.correction import expect_any_instant, load_method
from utils.errors import InputError
from utils.evaluation.plan import share_of
from utils.evaluation.saving import ReadyFrames, check_names
from utils.options.evaluation import EvaluationOptions, MethodOptions
from utils.system.distributed import Processes


@dataclass(frozen=True)
class ClipMethod:
    """A correction that takes the pairs before and after a pair, too (`models.clip`).

    Attributes:
        correct: makes frames of pairs.
        follows_motion: whether it starts from classical motion.
        blending: what frames between pairs are made of (`models.clip.correction.correct_clip`).
        motion_estimate: what estimates the motion of pairs and between them.
    """

    correct: Correction
    follows_motion: bool
    blending: Blending = "choose"
    motion_estimate: MotionEstimate = "auto"


Method = Correction | ReadyFrames | ClipMethod


def make_frames(
    method: Method, capture: CapturePair, times: Sequence[float], *, with_flows: bool = False
) -> Corrected:
    """Frames of a capture at some instants: made, or read from disk (those have no flows).

    A `ClipMethod` makes those of the pair alone.
    """
    if isinstance(method, ClipMethod):
        method = method.correct
    if isinstance(method, ReadyFrames):
        return Corrected(method.read(capture, times))
    return method(capture.pair, times, scan_time=capture.scan_time, with_flows=with_flows)


def load_methods(options: EvaluationOptions, device: torch.device) -> dict[str, Method]:
    """Load the methods under test by their labels; one without a label is named after its weights.

    Raises:
        InputError: weights cannot be loaded.
    """
    if options.methods is None:
        name, method = _load(options, device)
        return {name: method}
    loaded: dict[str, Method] = {}
    for tested in options.methods:
        if tested.frames_folder is not None:
            folder = Path(tested.frames_folder)
            loaded[tested.name] = ReadyFrames(tested.name, folder, tested.pattern)
        else:
            loaded[tested.name] = _load(options.options_of(tested), device)[1]
    return loaded


def _load(options: MethodOptions, device: torch.device) -> tuple[str, Method]:
    """Load the method of the options, and its name in tables.

    Raises:
        InputError: its weights cannot be loaded, or make certain instants only, with neighbours.
    """
    loaded = load_method(options, device)
    if options.context == "pair":
        return loaded.name, loaded.correct
    expect_any_instant(loaded)
    return f"{loaded.name}, clip", ClipMethod(
        loaded.correct, loaded.follows_motion, options.blending, options.motion_estimate
    )


def common_instants(methods: Mapping[str, Method]) -> tuple[float, ...] | None:
    """The instants at which all methods make frames; None: any. Ready frames may be of any.

    Raises:
        InputError: there are none.
    """
    found = {
        label: None if isinstance(method, ReadyFrames | ClipMethod) else instants_of(method)
        for label, method in methods.items()
    }
    fixed = {label: instants for label, instants in found.items() if instants is not None}
    if not fixed:
        return None
    first, *others = fixed.values()
    common = tuple(t for t in first if all(t in other for other in others))
    if not common:
        said = ", ".join(f"'{label}' at t = {list_instants(each)}" for label, each in fixed.items())
        raise InputError(f"methods: no instant is common to all: {said}; test them apart")
    return common


def methods_of_set(
    loaded: Mapping[str, Method], set_name: str, numbers: tuple[int, ...] | None = None
) -> dict[str, Method]:
    """The methods for a test set: ready frames are those of its folder and of these numbers."""
    return {
        label: ReadyFrames(
            label,
            Path(str(method.folder).replace("{set}", set_name)),
            method.pattern,
            set_name,
            numbers,
        )
        if isinstance(method, ReadyFrames)
        else method
        for label, method in loaded.items()
    }


def describe_methods(options: EvaluationOptions, labels: Sequence[str]) -> dict[str, Any]:
    """What each label stands for, as JSON: options of a method, a folder, or a baseline."""
    tested = {} if options.methods is None else {each.name: each for each in options.methods}
    described: dict[str, Any] = {}
    for index, label in enumerate(labels):
        of_label = tested.get(label)
        if of_label is not None and of_label.frames_folder is not None:
            described[label] = {
                "frames_folder": of_label.frames_folder,
                "pattern": of_label.pattern,
            }
            continue
        if of_label is None and (tested or index > 0):
            described[label] = {"baseline": True}
            continue
        own = options if of_label is None else options.options_of(of_label)
        described[label] = {"method": own.method}
        if own.method == "network":
            described[label]["weights"] = own.path.pretrained_netG
            described[label] |= {"inference": own.inference, "precision": own.precision}
        described[label] |= {"context": own.context, "blending": own.blending}
        described[label]["self_ensemble"] = own.self_ensemble
    return described


def check_ready_frames(
    captures: CaptureFolder,
    methods: Mapping[str, Method],
    times: Sequence[float],
    processes: Processes,
) -> None:
    """Check that every ready frame is there, can be read, and has its capture's size.

    Names are checked by every process, and images by the process that will score them; the problem
    is the same in all of them.

    Raises:
        InputError: frames are missing, there are more of them than true frames, two have one name,
            or an image is damaged or of another size.
    """
    ready = [method for method in methods.values() if isinstance(method, ReadyFrames)]
    for method in ready:
        if not captures.frame_count(0):
            raise InputError(
                f"'{method.label}': ready frames cannot be scored: {captures.names[0]} has no true "
                "frames (GS) to compare with"
            )
        check_names(captures, method, times)
    if not ready:
        return
    share = share_of(len(captures), processes)

    def first_problem(index: int) -> str | None:
        try:
            capture = captures.load(index)
            for method in ready:
                method.read(capture, times)
        except InputError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [problem for problem in pool.map(first_problem, share) if problem is not None]
    problems = [problem for part in processes.gather(found) for problem in part]
    if problems:
        others = f" (and {len(problems) - 1} more captures)" if len(problems) > 1 else ""
        raise InputError(f"{problems[0]}{others}; nothing was scored")


def choose_methods(
    methods: Mapping[str, Method], *, with_baselines: bool = True, blending: Blending = "choose"
) -> dict[str, Method]:
    """The methods under test, then the baselines that are not among them.

    `blending` is that of the classical baseline.

    Raises:
        InputError: another method has the name of a baseline.
    """
    chosen = {**methods}
    baselines = {**BASELINES, "classical": CLASSICAL[blending]} if with_baselines else {}
    for name, baseline in baselines.items():
        if chosen.get(name, baseline) is not baseline:
            raise InputError(
                f"methods: '{name}' is the name of a baseline; choose another, or set "
                "baselines=false"
            )
        if not any(method is baseline for method in methods.values()):
            chosen[name] = baseline
    return chosen
