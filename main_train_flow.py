"""Train PWC-Net, the flow between frames, on simulated scenes whose motion is known exactly."""

from utils.command_line import add_resume_argument, parse_arguments, run
from utils.distributed import process_group
from utils.experiment import open_experiment
from utils.flow_options import FlowTrainingOptions
from utils.flow_training import (
    build_flow_network,
    build_flow_objective,
    build_flow_training_set,
    build_flow_validation_set,
    fit_flow,
)
from utils.option_files import load_options
from utils.random_state import seed_everything


def main() -> None:
    """Wire options, data, network and objective, and train."""
    arguments = parse_arguments(str(__doc__), extra=add_resume_argument)
    options = load_options(arguments.opt, arguments.set, FlowTrainingOptions)
    with process_group(options.device, launched=arguments.dist == "True") as processes:
        seed_everything(options.seed + processes.rank)
        training_set = build_flow_training_set(options)
        validation_set = build_flow_validation_set(options)
        network = build_flow_network(options)
        objective = build_flow_objective(options)
        with open_experiment(options, processes, resume=arguments.resume) as experiment:
            fit_flow(
                network,
                objective,
                training_set,
                validation_set=validation_set,
                experiment=experiment,
            )


if __name__ == "__main__":
    run(main)
