"""Initial weights of PWC-Net, with which all levels can learn at once."""

import torch
from torch import nn

from models.flow_pwc import PWCNet

_SLOPE = 0.1  # of the leaky ReLUs
_SMALL = 0.01  # scale, relative to Kaiming's, of what a level adds to the flow of the coarser one
_GREY = 0.5  # image value for which the first features are zero
_LEVELS = ("Six", "Fiv", "Fou", "Thr", "Two")  # coarsest first
_FLOW_INPUTS = slice(-4, -2)  # of a head's inputs: the upsampled flow of the coarser level
_BILINEAR = (0.25, 0.75, 0.75, 0.25)


@torch.no_grad()
def initialise(network: PWCNet) -> None:
    """Draw initial weights from PyTorch's random generator.

    Convolutions have Kaiming's weights for leaky ReLUs. The first features are those of deviations
    from grey, so that cosines between features separate matches from other pixels. Each level
    upsamples the coarser level's flow bilinearly and adds almost nothing, and so does the context
    network.
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
            head[:, _FLOW_INPUTS, 1, 1] += torch.eye(2)
            taps = torch.tensor(_BILINEAR)
            upsampling = torch.einsum("ij,y,x->ijyx", torch.eye(2), taps, taps)
            network.get_parameter(f"module{level}.moduleUpflow.weight").copy_(upsampling)
            network.get_parameter(f"module{level}.moduleUpfeat.weight").mul_(_SMALL)
    network.get_parameter("moduleRefiner.moduleMain.12.weight").mul_(_SMALL)
