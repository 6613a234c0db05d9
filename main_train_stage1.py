"""Stage 1: train the generator to rebuild both rolling-shutter inputs, or on true frames."""

from utils.options.command_line import add_resume_argument, parse_arguments, run
from utils.options.files import load_options
from utils.options.training import TrainingOptions, expect_objective
from utils.system.distributed import process_group
from utils.system.random_state import seed_everything
from utils.training.data import build_training_set, build_validation_set
from utils.training.experiment import open_experiment
from utils.training.generator import build_generator, build_objective, fit


def main() -> None:
    """Wire options, data, generator and objective, and train."""
    arguments = parse_arguments(str(__doc__), extra=add_resume_argument)
    options = load_options(arguments.opt, arguments.set, TrainingOptions)
    expect_objective(options, "cycle", "supervised")
    with process_group(options.device, launched=arguments.dist == "True") as processes:
        seed_everything(options.seed + processes.rank)
        training_set = build_training_set(options)
        validation_set = build_validation_set(options)
        generator = build_generator(options)
        objective = build_objective(options, processes.device)
        with open_experiment(options, processes, resume=arguments.resume) as experiment:
            fit(
                generator,
                objective,
                training_set,
                validation_set=validation_set,
                experiment=experiment,
            )


if __name__ == "__main__":
    run(main)
