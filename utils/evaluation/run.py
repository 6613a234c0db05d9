"""Run a test: frames of every capture, scores, plots, report and an example page."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from data.dataset_writer.folder import read_strengths
from data.files.folders import prepare_output_folder
from data.layouts import open_captures
from utils.correction import load_method
from utils.evaluation.evaluate import choose_methods, evaluate, plan_evaluation
from utils.evaluation.example import EXAMPLE, write_example
from utils.evaluation.plots import PLOTS, plot_scores
from utils.evaluation.report import REPORT, format_tables, remove_report, write_report
from utils.evaluation.scores import FrameScore
from utils.evaluation.smoothness import plot_clips
from utils.options.evaluation import EvaluationOptions
from utils.pictures.viewer import VIEWER
from utils.system.distributed import Processes


def test(options: EvaluationOptions, processes: Processes) -> None:
    """Make, save and score the frames of every capture, and report the scores."""
    data = options.datasets.test
    captures = open_captures(data.dataset_type, data.data_root, data.split)
    strengths = read_strengths(data.data_root, data.split)
    folder = prepare_output_folder(Path(options.path.root) / options.task)
    plan = plan_evaluation(captures, options, folder)
    method = load_method(options, processes.device)
    methods = choose_methods(method.name, method.correct, plan)
    scores = evaluate(captures, methods, plan, processes)
    if not processes.is_main:
        return
    remove_report(folder, PLOTS, EXAMPLE, VIEWER)
    if scores:
        pictures = plot_scores(folder, scores) | plot_clips(folder, scores, PLOTS)
        pictures |= write_example(folder, captures, method=method, plan=plan)
        write_report(folder, scores, options, strengths=strengths, pictures=pictures)
    sys.stdout.write(_format_result(scores, strengths, options, folder))


def _format_result(
    scores: Sequence[FrameScore],
    strengths: Mapping[str, str],
    options: EvaluationOptions,
    folder: Path,
) -> str:
    """The text to print at the end: tables, and the paths of report and frames."""
    data = options.datasets.test
    scored = f"{format_tables(scores, strengths)}\n\nreport: {folder / REPORT}\n"
    unscored = f"no scores: {data.data_root}/{data.split} has no true frames (GS) to compare with\n"
    return (scored if scores else unscored) + (f"frames: {folder}\n" if options.save_images else "")
