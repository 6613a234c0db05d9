"""Train PWC-Net, the optical flow between frames, on simulated scenes with known motion."""

from utils.options.command_line import run
from utils.options.flow_training import FlowTrainingOptions
from utils.tools.parts.training import train_on_command
from utils.training.flow_network import build_flow_subject


def main() -> None:
    """Train as the command line says."""
    train_on_command(str(__doc__), FlowTrainingOptions, build_flow_subject)


if __name__ == "__main__":
    run(main)
