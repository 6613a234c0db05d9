"""Train an interpolator, which rebuilds training inputs, on simulated scenes."""

from utils.options.command_line import run
from utils.options.interpolator_training import InterpolatorTrainingOptions
from utils.tools.parts.training import train_on_command
from utils.training.frozen.interpolator import build_interpolator_subject


def main() -> None:
    """Train as the command line says."""
    train_on_command(str(__doc__), InterpolatorTrainingOptions, build_interpolator_subject)


if __name__ == "__main__":
    run(main)
