"""Options of the network to train."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from models.networks import FIXED_INSTANTS, NETWORKS, fixed_instants, network_class
from models.parts.settings import Channels, InitialWeights
from utils.options.files import OptionGroup, one_of


class GeneratorOptions(OptionGroup):
    """Type and size of the network.

    `net_type`: "generator" is the paper's network; "refiner" refines the classical correction;
    "ifed" is the supervised predecessor, trained on true frames only; "selfdrsc_plusplus" is the
    light successor by the paper's authors.
    `n_feats`, `width`: number of channels; 32 and 1.0 are the released network's.
    `channels`: channel order inside the network, "rgb", or "bgr" as in released weights; null takes
    the order of `path.pretrained_netG`, without a file "rgb".
    `init` (only "generator"): initial weights: "kaiming" keeps the signal's variance through the
    layers, "pytorch" takes PyTorch's default, as released; null takes the network's own, for
    "generator" "kaiming". Of no effect with `path.pretrained_netG`.
    `num_frames`: frames of a pass; "ifed" makes 1, 3, 5 or 9, at fixed instants from 0 to 1 (one
    frame is at 0.5). The others make 3, at 0, t and 1.
    """

    net_type: Annotated[str, one_of(NETWORKS)] = "generator"
    n_feats: Annotated[int, Field(ge=1, le=1024)] = 32
    width: Annotated[float, Field(gt=0, le=8)] = 1.0
    channels: Channels | None = None
    init: InitialWeights | None = None
    num_frames: Literal[1, 3, 5, 9] = 3

    @property
    def instants(self) -> tuple[float, ...] | None:
        """Instants of a network of fixed ones; None for others."""
        return fixed_instants(self.num_frames) if self.net_type in FIXED_INSTANTS else None

    @model_validator(mode="after")
    def _fits_the_type(self) -> Self:
        if self.instants is None and self.num_frames != 3:
            raise ValueError(
                f"num_frames: '{self.net_type}' makes 3, at 0, t and 1, got {self.num_frames}; set "
                "netG.net_type=ifed for fixed instants"
            )
        # The defaults fit every network; looking a class up would import PyTorch.
        if self.channels not in (None, "rgb"):
            orders = network_class(self.net_type).channel_orders
            if self.channels not in orders:
                raise ValueError(
                    f"channels: '{self.net_type}' works on '{orders[0]}', got '{self.channels}'"
                )
        if self.init and self.init not in network_class(self.net_type).initial_weights:
            raise ValueError(
                f"init: '{self.net_type}' has initial weights of its own, got '{self.init}'; "
                "leave it out"
            )
        return self
