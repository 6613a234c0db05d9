"""Train PWC-Net, the optical flow between frames, on simulated scenes with known motion."""

from utils.options.command_line import add_training_arguments, parse_arguments, run
from utils.options.files import load_options
from utils.options.flow_training import FlowTrainingOptions
from utils.options.seeds import runs_of
from utils.system.console import console
from utils.system.distributed import process_group
from utils.training.flow_network import build_flow_subject
from utils.training.loop import train


def main() -> None:
    """Read the options, join the other processes if there are any, and train."""
    arguments = parse_arguments(str(__doc__), extra=add_training_arguments)
    with console(arguments):
        options = load_options(arguments.opt, arguments.set, FlowTrainingOptions)
        resume = arguments.resume
        runs = runs_of(options, arguments.seeds, resume=resume, overrides=arguments.set)
        with process_group(options.device, launched=arguments.dist == "True") as processes:
            for each in runs:
                train(each, build_flow_subject, processes, resume=resume)


if __name__ == "__main__":
    run(main)
