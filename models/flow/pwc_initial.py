"""How an untrained PWC-Net starts: nothing is learned yet, but every part plays its role."""

import torch
from torch import nn

from models.flow_pwc import PWCNet

_SLOPE = 0.1  # of the leaky rectifiers
_SMALL = 0.01  # scale, against Kaiming's, of what a level adds to the flow it is handed
_GREY = 0.5  # image value that first features take as nothing
_LEVELS = ("Six", "Fiv", "Fou", "Thr", "Two")  # coarsest first
_START = slice(-4, -2)  # of a head's inputs: the flow that the level is handed
_BILINEAR = (0.25, 0.75, 0.75, 0.25)


@torch.no_grad()
def initialise(network: PWCNet) -> None:
    """Draw initial weights from PyTorch's random generator.

    Convolutions start as Kaiming et al. advise for leaky rectifiers; the first features are those
    of deviations from grey, so that cosines between them tell matches apart. A level enlarges the
    coarser one's flow bilinearly, hands it on, and adds next to nothing; so does the context net.
    All levels can then learn at once, each what those before it leave to be found.
    """
    for name, parameter in network.named_parameters():
        if name.endswith("weight"):
            nn.init.kaiming_normal_(parameter, _SLOPE)
        else:
            nn.init.zeros_(parameter)
    first = "moduleExtractor.moduleOne.0"
    sums = network.get_parameter(f"{first}.weight").sum(dim=(1, 2, 3))
    network.get_parameter(f"{first}.bias").copy_(-_GREY * sums)
    for level in _LEVELS:
        head = network.get_parameter(f"module{level}.moduleSix.0.weight").mul_(_SMALL)
        if level != _LEVELS[0]:
            head[:, _START, 1, 1] += torch.eye(2)
            _enlarge_bilinearly(network.get_parameter(f"module{level}.moduleUpflow.weight"))
            network.get_parameter(f"module{level}.moduleUpfeat.weight").mul_(_SMALL)
    network.get_parameter("moduleRefiner.moduleMain.12.weight").mul_(_SMALL)


def _enlarge_bilinearly(weight: nn.Parameter) -> None:
    """Make a transposed convolution (2, 2, 4, 4) of stride 2 double both channels' size."""
    taps = torch.tensor(_BILINEAR)
    weight.zero_()
    for channel in range(2):
        weight[channel, channel] = taps[:, None] * taps
