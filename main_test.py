"""Test a generator on data laid out like RS-GOPRO: frames, PSNR and SSIM, report."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from data.rs_gopro import RSGOPRO
from models.correction import correct
from utils.checkpoint import load_generator
from utils.command_line import parse_arguments, run
from utils.distributed import Processes, process_group
from utils.evaluation import FrameScore, choose_methods, draw_example, evaluate, plan_evaluation
from utils.evaluation_options import EvaluationOptions
from utils.image_io import prepare_output_folder
from utils.option_files import load_options
from utils.report import REPORT, format_tables, write_report


def main() -> None:
    """Read the command line and join the other processes, if there are any."""
    arguments = parse_arguments(str(__doc__))
    options = load_options(arguments.opt, arguments.set, EvaluationOptions)
    with process_group(options.device, launched=arguments.dist == "True") as processes:
        test(options, processes)


def test(options: EvaluationOptions, processes: Processes) -> None:
    """Make, save and score the frames of every capture, and report the scores."""
    captures = RSGOPRO(options.datasets.test.data_root, options.datasets.test.split)
    folder = prepare_output_folder(Path(options.path.root) / options.task)
    plan = plan_evaluation(captures, options, folder)
    generator = load_generator(options.path.pretrained_netG, processes.device)
    name = Path(options.path.pretrained_netG).stem
    methods = choose_methods(name, partial(correct, generator), plan)
    scores = evaluate(captures, methods, plan, processes)
    if processes.is_main and scores:
        write_report(folder, scores, options, example=draw_example(captures, plan))
    if processes.is_main:
        sys.stdout.write(describe(scores, options, folder))


def describe(scores: Sequence[FrameScore], options: EvaluationOptions, folder: Path) -> str:
    """What to print at the end: tables, and where everything is."""
    data = options.datasets.test
    scored = f"{format_tables(scores)}\n\nreport: {folder / REPORT}\n"
    unscored = f"no scores: {data.data_root}/{data.split} has no true frames (GS) to compare with\n"
    return (scored if scores else unscored) + (f"frames: {folder}\n" if options.save_images else "")


if __name__ == "__main__":
    run(main)
