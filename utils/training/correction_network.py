"""Training of a correction network: network, objective, validation and preview."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pkgutil import resolve_name

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from data.capture import CapturePair, TrainingSample
from data.training.crops import FolderTrainingSet
from models.architecture import Architecture, expect_architecture, load_network
from models.device_motion.estimation import takes_tensors
from models.flow.networks import load_flow
from models.inference.correction import AS_TRAINED
from models.losses.table import TERMS
from models.networks import network_class
from models.objectives import (
    CorrectionObjective,
    CycleObjective,
    DistillationObjective,
    FindCues,
    SupervisedObjective,
)
from models.parts.memory_saving import checkpoint_blocks
from models.parts.network import CorrectionNetwork
from models.parts.settings import InferenceSettings
from models.plusplus.interpolator import load_interpolator
from utils.checkpoint import save_weights
from utils.options.training import TrainingOptions
from utils.system.compiling import compile_network, expect_compiler
from utils.system.distributed import Processes
from utils.training.data import (
    Captures,
    build_training_set,
    build_validation_set,
    finds_cues_by_batch,
)
from utils.training.loop import Subject
from utils.training.records.announcement import describe_training_set, describe_validation_set
from utils.training.records.pictures import validation_pictures
from utils.training.validation import Validation, preview, validate


def build_subject(options: TrainingOptions, processes: Processes) -> Subject[TrainingSample]:
    """Network, objective and data of the options, for stage 1, stage 2, or true frames.

    Raises:
        InputError: data or weights cannot be used.
    """
    mode = options.train.compile
    if mode != "off":
        expect_compiler(mode, processes.device)  # before data and weights are read
    training_set = build_training_set(options, processes.device)
    captures, valid = build_validation_set(options), options.datasets.valid
    network = build_network(options)
    objective = build_objective(options, processes.device)
    score = pictures = None
    if captures is not None and valid is not None:
        settings = replace(AS_TRAINED, motion_estimate=options.train.motion_estimate)
        score = partial(_score, objective, captures, processes, valid.protocol, settings)
        pictures = partial(validation_pictures, network, captures, valid.images, settings)
    return Subject(
        network,
        objective,
        training_set,
        asdict(Architecture.of(network)),
        file="generator.safetensors",
        write=save_weights,
        preview=partial(preview, network, objective),
        validate=score,
        pictures=pictures,
        described=(
            *describe_training_set(options, training_set),
            *describe_validation_set(options, captures),
            *_notes(options, processes.device),
        ),
        is_pretrained=options.path.pretrained_netG is not None,
        epoch_steps=_steps_per_epoch(training_set, options.datasets.train.dataloader_batch_size),
        compiled=None if mode == "off" else compile_network(network, mode, processes.device),
    )


def _steps_per_epoch(samples: Dataset[TrainingSample], batch_size: int) -> int | None:
    """Steps that take every capture of a folder once, the last batch filled up."""
    if not isinstance(samples, FolderTrainingSet):
        return None
    return -(-samples.epoch_samples // batch_size)


def _score(
    objective: CorrectionObjective,
    captures: Captures[CapturePair],
    processes: Processes,
    protocol: str,
    settings: InferenceSettings,
    network: CorrectionNetwork,
) -> Validation:
    return validate(network, objective, captures, processes, protocol, settings)


def build_network(options: TrainingOptions) -> CorrectionNetwork:
    """The network of the options, with the weights of `path.pretrained_netG` if named.

    Without `netG.channels` it works in the channel order of these weights.

    Raises:
        InputError: the weights are missing, damaged or of another network.
    """
    size, file = options.netG, options.path.pretrained_netG
    pretrained = None if file is None else load_network(file)
    orders = network_class(size.net_type).channel_orders
    channels = size.channels or orders[0]
    if size.channels is None and pretrained is not None and pretrained.channels in orders:
        channels = pretrained.channels
    frames = size.num_frames
    network = Architecture(size.n_feats, size.width, frames, channels, size.net_type).build()
    if pretrained is not None:
        found, expected = (asdict(Architecture.of(each)) for each in (pretrained, network))
        expect_architecture(found, expected, str(file))
        network.load_state_dict(pretrained.state_dict())
    elif size.init == "pytorch":
        network.draw_pytorch_weights()
    if options.train.gradient_checkpointing:
        checkpoint_blocks(network)
    return network


def build_objective(options: TrainingOptions, device: torch.device) -> CorrectionObjective:
    """The objective of the options with its frozen networks, on `device`.

    Raises:
        InputError: a file with weights is missing or holds something else.
    """
    step, path, find_cues = options.train, options.path, _find_cues(options, device)
    if step.objective == "supervised":
        supervised = SupervisedObjective(
            step.loss_weights,
            _load_networks(options),
            instants=options.netG.instants,
            charbonnier_epsilon=step.charbonnier_epsilon,
        )
        supervised.find_cues = find_cues
        return supervised.to(device)
    rebuilder = _load_rebuilder(options)  # before VGG-19 is downloaded
    cycle = CycleObjective(
        step.loss_weights,
        **rebuilder,
        networks=_load_networks(options),
        sampling=step.sampling,
        flow_gradients=step.flow_gradients,
        hidden_share=step.hidden_share,
    )
    cycle.find_cues = find_cues
    if step.objective == "cycle":
        return cycle.to(device)
    teacher = load_network(str(path.pretrained_netG))
    return DistillationObjective(cycle, teacher, step.border).to(device)


def _find_cues(options: TrainingOptions, device: torch.device) -> FindCues | None:
    """What finds the motion cues of batches without; None: the network, by OpenCV on the CPU."""
    kind, estimate = network_class(options.netG.net_type), options.train.motion_estimate
    # On CUDA a network by itself takes tensors, whatever the option says.
    if not kind.needs_cues or not (takes_tensors(estimate, device) or device.type == "cuda"):
        return None

    def find(pairs: Tensor, scan_times: Tensor, times: Tensor) -> Tensor:
        return kind.find_batch_cues(pairs, scan_times, times, estimate)

    return find


def _load_networks(options: TrainingOptions) -> dict[str, nn.Module]:
    """The frozen networks of the loss terms that need one, by the term's name."""
    terms = {name: TERMS[name] for name in options.train.loss_weights}
    return {
        name: resolve_name(term.function)(
            options.weight_file(term.weights_from),
            **{key: getattr(options.train, key) for key in term.settings},
        )
        for name, term in terms.items()
        if term.weights_from
    }


def _notes(options: TrainingOptions, device: torch.device) -> Iterator[str]:
    """What the log says of the options before the first step."""
    if options.train.compile != "off":
        yield "train.compile: the first step compiles the network, which takes minutes"
    if network_class(options.netG.net_type).needs_cues:
        by_batch = finds_cues_by_batch(options, device)
        place = f"PyTorch on {device.type}, a batch at once" if by_batch else "OpenCV in the loader"
        yield f"motion cues are found by {place} (train.motion_estimate)"
    rebuilds = options.train.objective != "supervised"
    if rebuilds and options.path.pretrained_rsg == "dis" and options.train.flow_gradients:
        yield (
            'train.flow_gradients is true, but the flow "dis" passes no gradient to the frames: '
            "take PWC-Net or RAFT (path.pretrained_rsg), or set it to false"
        )
    if rebuilds and options.path.pretrained_rsg == "dis" and device.type != "cpu":
        yield (
            'path.pretrained_rsg: the flow "dis" is computed on the CPU, and the '
            f"{device.type} device waits for it in every step: take PWC-Net or RAFT"
        )


def _load_rebuilder(options: TrainingOptions) -> dict[str, nn.Module]:
    """The network that rebuilds the inputs, by its argument of `CycleObjective`.

    Raises:
        InputError: its weights are missing or of another network.
    """
    step, path = options.train, options.path
    if step.rebuilding == "interpolation":
        return {"interpolator": load_interpolator(str(path.pretrained_interpolator))}
    return {"flow": load_flow(str(path.pretrained_rsg), step.sampling)}
