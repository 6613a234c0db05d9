"""Run a test: frames of every capture, scores, plots, reports and pages."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.dataset_writer.folder import read_strengths
from data.files.folders import prepare_output_folder
from data.layouts import CaptureFolder, open_captures
from utils.errors import InputError
from utils.evaluation.evaluate import evaluate
from utils.evaluation.example import EXAMPLE, WORST, find_worst, write_example, write_worst
from utils.evaluation.methods import (
    Method,
    check_ready_frames,
    choose_methods,
    common_instants,
    load_methods,
    methods_of_set,
)
from utils.evaluation.overview import SetScores, format_overview, write_overview
from utils.evaluation.plan import EvaluationPlan, plan_evaluation
from utils.evaluation.plots import PLOTS, plot_scores
from utils.evaluation.report import (
    REPORT,
    format_tables,
    remove_report,
    summarise_all,
    write_report,
)
from utils.evaluation.saving import ReadyFrames
from utils.evaluation.scores import FrameScore
from utils.evaluation.smoothness import plot_clips
from utils.options.evaluation import EvaluationOptions
from utils.pictures.viewer import VIEWER
from utils.system.console import record
from utils.system.distributed import Processes

SETS = "sets"
"""Folder of the results of several test sets, one folder each."""


@dataclass(frozen=True)
class _TestSet:
    """A test set of a run.

    Attributes:
        captures: of the set.
        strengths: of the motion in each sequence, where that is known.
        folder: of its results.
        plan: what to make and score.
        methods: the methods under test, without baselines.
    """

    captures: CaptureFolder
    strengths: Mapping[str, str]
    folder: Path
    plan: EvaluationPlan
    methods: Mapping[str, Method]


def test(options: EvaluationOptions, processes: Processes) -> None:
    """Make, save and score the frames of every capture of every set, and report the scores."""
    folder = Path(options.path.root) / options.task
    sets = _prepare(options, folder, processes)
    results = {}
    for name, each in sets.items():
        methods = choose_methods(
            each.methods, with_baselines=each.plan.baselines, blending=options.blending
        )
        plan = replace(each.plan, saved=_methods_to_save(options, methods, each.methods))
        scores = evaluate(each.captures, methods, plan, processes, jobs=options.jobs)
        results[name] = SetScores(options.datasets.sets[name], scores, each.strengths, plan.remark)
        sets[name] = replace(each, plan=plan)
    if not processes.is_main:
        return
    _remove_reports(folder)
    for name, each in sets.items():
        _report(each, results[name], options)
    if isinstance(options.datasets.test, tuple):
        write_overview(folder, results, options, folders={name: f"{SETS}/{name}" for name in sets})
    for name, each in sets.items():
        _record_set(name, each, results[name].scores)
    sys.stdout.write(_format_result(sets, results, options, folder))


def _prepare(options: EvaluationOptions, folder: Path, processes: Processes) -> dict[str, _TestSet]:
    """Open and check every test set by its name, before anything is made or scored."""
    opened = {
        name: open_captures(data.dataset_type, data.data_root, data.split)
        for name, data in options.datasets.sets.items()
    }
    prepare_output_folder(folder)
    folders = {name: folder / SETS / name if name else folder for name in opened}
    loaded = load_methods(options, processes.device)
    instants = common_instants(loaded)
    plans = {}
    for name, captures in opened.items():
        data = options.datasets.sets[name]
        try:
            plans[name] = plan_evaluation(captures, options, folders[name], instants, data=data)
        except InputError as error:
            raise InputError(f"test set '{name}': {error}" if name else str(error)) from error
    sets = {}
    for name, captures in opened.items():
        data = options.datasets.sets[name]
        methods = methods_of_set(loaded, name, plans[name].truth_frames)
        with_baselines = plans[name].baselines
        choose_methods(methods, with_baselines=with_baselines, blending=options.blending)
        check_ready_frames(captures, methods, plans[name].times, processes)
        strengths = read_strengths(data.data_root, data.split)
        sets[name] = _TestSet(captures, strengths, folders[name], plans[name], methods)
    for each in sets.values():
        prepare_output_folder(each.folder)
    return sets


def _methods_to_save(
    options: EvaluationOptions, methods: Mapping[str, Method], tested: Mapping[str, Method]
) -> tuple[str, ...] | None:
    """Methods whose frames get a folder each; None if only those of a single one are saved."""
    if options.methods is None and options.save_images != "all":
        return None
    chosen = methods if options.save_images == "all" else tested
    return tuple(name for name in chosen if not isinstance(methods[name], ReadyFrames))


def _remove_reports(folder: Path) -> None:
    """Remove the reports of an earlier run, whatever sets it had."""
    earlier = [each for each in (folder / SETS).glob("*") if each.is_dir()]
    for each in (folder, *earlier):
        remove_report(each, PLOTS, EXAMPLE, VIEWER, WORST)


def _report(each: _TestSet, result: SetScores, options: EvaluationOptions) -> None:
    """Write plots, pages and the report of a test set."""
    if not result.scores:
        return
    place, captures, plan = each.folder, each.captures, each.plan
    pictures = plot_scores(place, result.scores) | plot_clips(place, result.scores, PLOTS)
    pictures |= write_example(place, captures, methods=each.methods, plan=plan)
    worst = find_worst(result.scores, next(iter(each.methods)), options.worst_pages)
    pictures |= write_worst(place, captures, worst, methods=each.methods, plan=plan)
    write_report(
        each.folder,
        result.scores,
        options,
        data=result.data,
        strengths=each.strengths,
        pictures=pictures,
        remark=result.remark,
    )


def _record_set(name: str, each: _TestSet, scores: Sequence[FrameScore]) -> None:
    """Keep for `--json` where the results of a test set are, and its means."""
    summed = summarise_all(scores, each.strengths) if scores else {}
    record(
        set=name,
        folder=str(each.folder),
        report=str(each.folder / REPORT) if scores else None,
        captures=len(each.captures),
        methods=[*each.methods],
        means={
            protocol: {label: about["overall"] for label, about in methods.items()}
            for protocol, methods in summed.items()
        },
    )


def _format_result(
    sets: Mapping[str, _TestSet],
    results: Mapping[str, SetScores],
    options: EvaluationOptions,
    folder: Path,
) -> str:
    """The text to print at the end: tables, and the paths of reports and frames."""
    parts = []
    for name, (data, scores, strengths, remark) in results.items():
        title = f"# Test set `{name}`\n\n" if name else ""
        title += f"{remark}\n\n" if scores and remark else ""
        report = f"report: {sets[name].folder / REPORT}\n"
        scored = f"{format_tables(scores, strengths)}\n\n{report}"
        root = f"{data.data_root}/{data.split}"
        unscored = f"no scores: {root} has no true frames (GS) to compare with\n"
        parts.append(title + (scored if scores else unscored))
    overview = format_overview(results) if isinstance(options.datasets.test, tuple) else ""
    if overview:
        parts.append(f"{overview}\n\nreport of all sets: {folder / REPORT}\n")
    return "\n".join(parts) + (f"frames: {folder}\n" if options.save_images else "")
