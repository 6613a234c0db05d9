"""What the training commands of this room do alike, from the command line to the weights."""

from collections.abc import Callable

from data.capture import Sample
from utils.options.command_line import add_training_arguments, parse_arguments
from utils.options.files import load_options
from utils.options.seeds import runs_of
from utils.system.console import console
from utils.system.distributed import Processes, process_group
from utils.training.experiment import Options
from utils.training.loop import Subject, train


def train_on_command(
    description: str, model: type[Options], build: Callable[[Options, Processes], Subject[Sample]]
) -> None:
    """Read the options, join the other processes if there are any, and train.

    Args:
        description: of the command, for `--help`.
        model: of its options.
        build: creates network, objective and data.

    Raises:
        InputError: an option, data, weights or the folder cannot be used, or training failed.
        SystemExit: the run was asked to stop.
    """
    arguments = parse_arguments(description, extra=add_training_arguments)
    with console(arguments):
        options = load_options(arguments.opt, arguments.set, model)
        resume = arguments.resume
        runs = runs_of(options, arguments.seeds, resume=resume, overrides=arguments.set)
        with process_group(options.device, launched=arguments.dist == "True") as processes:
            for each in runs:
                train(each, build, processes, resume=resume)
