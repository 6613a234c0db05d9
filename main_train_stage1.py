"""Stage 1: train a network to rebuild both rolling-shutter inputs, or on true frames."""

from utils.options.command_line import add_training_arguments, parse_arguments, run


def main() -> None:
    """Read the options, join the other processes if there are any, and train."""
    from utils.options.files import load_options
    from utils.options.seeds import runs_of
    from utils.options.training import TrainingOptions, expect_objective
    from utils.system.console import console

    arguments = parse_arguments(str(__doc__), extra=add_training_arguments)
    with console(arguments):
        options = load_options(arguments.opt, arguments.set, TrainingOptions)
        expect_objective(options, "cycle", "supervised")
        resume = arguments.resume
        runs = runs_of(options, arguments.seeds, resume=resume, overrides=arguments.set)
        # Not sooner: --help and refused options do not wait for PyTorch.
        from utils.system.distributed import process_group
        from utils.training.correction_network import build_subject
        from utils.training.loop import train

        with process_group(options.device, launched=arguments.dist == "True") as processes:
            for each in runs:
                train(each, build_subject, processes, resume=resume)


if __name__ == "__main__":
    run(main)
