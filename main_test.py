"""Test methods on data laid out like RS-GOPRO: frames, PSNR and SSIM, plots, report."""

from utils.options.command_line import parse_arguments, run


def main() -> None:
    """Read the options, join the other processes if there are any, and test."""
    from utils.options.evaluation import EvaluationOptions, add_evaluation_arguments, overrides
    from utils.options.files import load_options
    from utils.system.console import console

    arguments = parse_arguments(str(__doc__), extra=add_evaluation_arguments)
    with console(arguments):
        options = load_options(arguments.opt, overrides(arguments), EvaluationOptions)
        # Not sooner: --help and refused options do not wait for PyTorch.
        from utils.evaluation.run import test
        from utils.system.distributed import process_group

        with process_group(options.device, launched=arguments.dist == "True") as processes:
            test(options, processes)


if __name__ == "__main__":
    run(main)
