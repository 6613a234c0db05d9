"""The methods of a test: corrections, and folders of frames that any program has made."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.capture import CapturePair
from data.files.images import IMAGE_SUFFIXES, read_image
from data.layouts import CaptureFolder
from models.inference.correction import BASELINES, Corrected, Correction, instants_of
from models.parts.settings import list_instants
from utils.correction import expect_any_instant, load_method
from utils.errors import InputError
from utils.evaluation.plan import share_of
from utils.options.evaluation import EvaluationOptions, MethodOptions
from utils.options.parts.frame_names import frame_path
from utils.system.distributed import Processes

_LISTED = 3  # missing files that a message names


@dataclass(frozen=True)
class ReadyFrames:
    """Frames on disk, one for each true frame of every capture.

    Attributes:
        label: of the method that made them.
        folder: of the frames.
        pattern: of their names (`utils.options.parts.frame_names.frame_path`).
        set_name: name of the test set, if it has one.
        numbers: of the true frames that are scored, if not all are.
    """

    label: str
    folder: Path
    pattern: str
    set_name: str = ""
    numbers: tuple[int, ...] | None = None

    def paths(self, capture: str, times: Sequence[float]) -> dict[int, Path]:
        """Files of the frames of a capture at the instants that are scored, by frame number."""
        numbers = self.numbers or range(len(times))
        numbered = zip(numbers, times, strict=True)
        return {number: self.path(capture, number, time) for number, time in numbered}

    def path(self, capture: str, frame: int, time: float) -> Path:
        """File of a frame.

        Raises:
            InputError: the pattern asks for a number, but the capture's name is none.
        """
        try:
            name = frame_path(
                self.pattern, capture=capture, frame=frame, time=time, set_name=self.set_name
            )
        except ValueError:
            raise InputError(
                f"'{self.label}': pattern '{self.pattern}' asks for the pair's number, but the "
                f"pair is named '{capture}'"
            ) from None
        return self.folder / name

    def read(self, capture: CapturePair, times: Sequence[float]) -> Tensor:
        """Frames (T, 3, H, W) of a capture in [0, 1].

        Raises:
            InputError: one is missing, damaged, or has another size than the capture.
        """
        paths = self.paths(capture.name, times).values()
        return torch.stack([_read_frame(path, capture) for path in paths])


@dataclass(frozen=True)
class ClipMethod:
    """A correction that takes the pairs before and after a pair, too (`models.clip`).

    Attributes:
        correct: makes frames of pairs.
        follows_motion: whether it starts from classical motion.
    """

    correct: Correction
    follows_motion: bool


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
    return f"{loaded.name}, clip", ClipMethod(loaded.correct, loaded.follows_motion)


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
        described[label]["context"] = own.context
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
        _check_names(captures, method, times)
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
    methods: Mapping[str, Method], *, with_baselines: bool = True
) -> dict[str, Method]:
    """The methods under test, then the baselines that are not among them.

    Raises:
        InputError: another method has the name of a baseline.
    """
    chosen = {**methods}
    for name, baseline in BASELINES.items() if with_baselines else ():
        if chosen.get(name, baseline) is not baseline:
            raise InputError(
                f"methods: '{name}' is the name of a baseline; choose another, or set "
                "baselines=false"
            )
        if not any(method is baseline for method in methods.values()):
            chosen[name] = baseline
    return chosen


def _read_frame(path: Path, capture: CapturePair) -> Tensor:
    frame = read_image(path)
    if frame.shape != capture.t2b.shape:
        height, width = frame.shape[1:]
        raise InputError(
            f"{path}: expected {capture.width}x{capture.height} pixels (width x height) like "
            f"{capture.name}, got {width}x{height}"
        )
    return frame


def _check_names(captures: CaptureFolder, method: ReadyFrames, times: Sequence[float]) -> None:
    label, folder = method.label, method.folder
    if not folder.is_dir():
        raise InputError(f"'{label}': {folder}: no such folder of frames")
    owners: dict[Path, str] = {}
    for name in captures.names:
        for number, path in method.paths(name, times).items():
            owner = f"{name} frame {number}"
            if path in owners:
                raise InputError(
                    f"'{label}': pattern '{method.pattern}' gives {owners[path]} and {owner} one "
                    f"file, {path}; use {{sequence}}, {{pair}} and {{frame}}"
                )
            owners[path] = owner
    missing = [path for path in owners if not path.is_file()]
    if missing:
        raise InputError(_describe_missing(method, missing, len(owners)))
    beyond = captures.frame_count(0)
    for name in captures.names:
        # One more frame per capture: these were made at other instants than the true frames.
        extra = method.path(name, beyond, 1.0)
        if extra not in owners and extra.is_file():
            raise InputError(
                f"'{label}': {extra}: more frames than the {beyond} true ones of {name}; expected "
                "frames at the instants of the true frames"
            )


def _describe_missing(method: ReadyFrames, missing: Sequence[Path], count: int) -> str:
    listed = ", ".join(str(path.relative_to(method.folder)) for path in missing[:_LISTED])
    more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
    about = f"{len(missing)} of {count} frames are missing in {method.folder}: {listed}{more}"
    if len(missing) == count:
        found = next(_images_in(method.folder), None)
        there = "no images" if found is None else f"{found.relative_to(method.folder)} or the like"
        about += f"; it holds {there}, pattern is '{method.pattern}'"
    return f"'{method.label}': {about}; nothing was scored"


def _images_in(folder: Path) -> Iterator[Path]:
    for root, _, files in os.walk(folder):
        for file in sorted(files):
            if Path(file).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(root) / file
