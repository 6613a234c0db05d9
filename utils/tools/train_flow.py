"""Train PWC-Net, the optical flow between frames, on simulated scenes with known motion."""

from utils.options.command_line import add_resume_argument, parse_arguments, run
from utils.options.files import load_options
from utils.options.flow_training import FlowTrainingOptions
from utils.system.distributed import process_group
from utils.system.random_state import seed_everything
from utils.training.experiment import open_experiment
from utils.training.flow_network import (
    build_flow_network,
    build_flow_objective,
    build_flow_training_set,
    build_flow_validation_set,
    fit_flow,
)


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
