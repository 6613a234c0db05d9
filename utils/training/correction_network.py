"""Training of a correction network: network, objective, validation and preview."""

from dataclasses import asdict
from functools import partial
from pkgutil import resolve_name

import torch
from torch import nn

from data.capture import TrainingSample
from models.architecture import Architecture, expect_architecture, load_network
from models.flow.networks import load_flow
from models.losses.table import TERMS
from models.objectives import (
    CorrectionObjective,
    CycleObjective,
    DistillationObjective,
    SupervisedObjective,
)
from models.parts.memory_saving import checkpoint_blocks
from models.parts.network import CorrectionNetwork
from models.plusplus.interpolator import load_interpolator
from utils.checkpoint import save_weights
from utils.options.training import TrainingOptions
from utils.system.distributed import Processes
from utils.training.data import build_training_set, build_validation_set
from utils.training.loop import Subject
from utils.training.validation import preview, validate


def build_subject(options: TrainingOptions, processes: Processes) -> Subject[TrainingSample]:
    """Network, objective and data of the options, for stage 1, stage 2, or true frames.

    Raises:
        InputError: data or weights cannot be used.
    """
    training_set = build_training_set(options)
    captures = build_validation_set(options)
    network = build_network(options)
    objective = build_objective(options, processes.device)
    score = None
    if captures is not None:
        score = partial(validate, network, objective, captures, processes)
    return Subject(
        network,
        objective,
        training_set,
        asdict(Architecture.of(network)),
        file="generator.safetensors",
        write=partial(save_weights, network=network),
        preview=partial(preview, network, objective),
        validate=score,
        is_pretrained=options.path.pretrained_netG is not None,
    )


def build_network(options: TrainingOptions) -> CorrectionNetwork:
    """The network of the options, with the weights of `path.pretrained_netG` if named.

    Raises:
        InputError: the weights are missing, damaged or of another network.
    """
    size = options.netG
    architecture = Architecture(size.n_feats, size.width, 3, size.channels, size.net_type)
    network = architecture.build()
    if options.path.pretrained_netG is not None:
        pretrained = load_network(options.path.pretrained_netG)
        found, expected = (asdict(Architecture.of(each)) for each in (pretrained, network))
        expect_architecture(found, expected, options.path.pretrained_netG)
        network.load_state_dict(pretrained.state_dict())
    if options.train.gradient_checkpointing:
        checkpoint_blocks(network)
    return network


def build_objective(options: TrainingOptions, device: torch.device) -> CorrectionObjective:
    """The objective of the options with its frozen networks, on `device`.

    Raises:
        InputError: a file with weights is missing or holds something else.
    """
    step, path = options.train, options.path
    rebuilder = _load_rebuilder(options)  # first: VGG-19 may be a download
    networks: dict[str, nn.Module] = {
        name: resolve_name(TERMS[name].function)(options.weight_file(TERMS[name].weights_from))
        for name in step.loss_weights
        if TERMS[name].weights_from
    }
    if step.objective == "supervised":
        return SupervisedObjective(step.loss_weights, networks).to(device)
    cycle = CycleObjective(
        step.loss_weights,
        **rebuilder,
        networks=networks,
        sampling=step.sampling,
        flow_gradients=step.flow_gradients,
        hidden_share=step.hidden_share,
    )
    if step.objective == "cycle":
        return cycle.to(device)
    teacher = load_network(str(path.pretrained_netG))
    return DistillationObjective(cycle, teacher, step.border).to(device)


def _load_rebuilder(options: TrainingOptions) -> dict[str, nn.Module]:
    """The network that rebuilds the inputs, by its argument of `CycleObjective`; {} without.

    Raises:
        InputError: its weights are missing or of another network.
    """
    step, path = options.train, options.path
    if step.objective == "supervised":
        return {}
    if step.rebuilding == "interpolation":
        return {"interpolator": load_interpolator(str(path.pretrained_interpolator))}
    return {"flow": load_flow(str(path.pretrained_rsg), step.sampling)}
