"""Training of PWC-Net: network, objective, data, validation and preview."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from data.training.flow_pairs import FlowPairs, FlowSample, FlowTrainingSet
from models.architecture import expect_architecture
from models.flow.dis import DISFlow
from models.flow.pwc_initial import initialise
from models.flow_pwc import PWCNet, load_pwc
from models.losses.flow import FlowLossSettings, FlowObjective
from utils.checkpoint import write_state
from utils.options.flow_training import FlowTrainingOptions
from utils.pictures.colour import flow_pictures
from utils.system.distributed import Processes
from utils.training.data import Captures, load_scene_textures, scene_crops
from utils.training.flow_scores import FlowScore, mean_scores, score_pair
from utils.training.loop import Subject
from utils.training.records.announcement import describe_scenes
from utils.training.validation import Validation, score_all


def build_flow_subject(options: FlowTrainingOptions, processes: Processes) -> Subject[FlowSample]:
    """Network, objective and data of the options.

    Raises:
        InputError: photos or weights cannot be used.
    """
    training_set = build_flow_training_set(options)
    pairs = build_flow_validation_set(options)
    network = build_flow_network(options)
    return Subject(
        network,
        build_flow_objective(options),
        training_set,
        dict(network.architecture),
        file="pwcnet.safetensors",
        write=save_pwc,
        preview=partial(preview_flow, network),
        validate=(
            None if pairs is None else partial(validate_flow, pairs=pairs, processes=processes)
        ),
        described=(f"training on {describe_scenes(options.datasets.train)}",),
    )


def build_flow_network(options: FlowTrainingOptions) -> PWCNet:
    """PWC-Net with initial weights, or with those of `path.pretrained_rsg` if named.

    Levels finer than `train.finest_level` are frozen.

    Raises:
        InputError: the weights are missing, damaged or of another network.
    """
    network = PWCNet(matching=options.netF.matching)
    source = options.path.pretrained_rsg
    if source is None:
        initialise(network)
    else:
        pretrained = load_pwc(source)
        expect_architecture(pretrained.architecture, network.architecture, source)
        network.load_state_dict(pretrained.state_dict())
    network.requires_grad_(True)
    for part in network.beyond(options.train.finest_level):
        part.requires_grad_(False)
    return network


def build_flow_objective(options: FlowTrainingOptions) -> FlowObjective:
    """The objective of the options."""
    step = options.train
    settings = FlowLossSettings(tuple(step.level_weights), step.error_exponent, step.hidden_weight)
    return FlowObjective(step.loss_weights, down_to=step.finest_level, settings=settings)


def build_flow_training_set(options: FlowTrainingOptions) -> FlowTrainingSet:
    """The endless training samples of the options.

    Raises:
        InputError: the folder of photos is missing or empty.
    """
    data = options.datasets.train
    settings = scene_crops(data, options.seed)
    return FlowTrainingSet(load_scene_textures(data), data.scene.settings(), settings)


def build_flow_validation_set(options: FlowTrainingOptions) -> FlowPairs | None:
    """The validation pairs of the options, or None.

    Raises:
        InputError: the folder of photos is missing or empty.
    """
    data = options.datasets.valid
    if data is None:
        return None
    return FlowPairs(
        load_scene_textures(data), data.scene.settings(), count=data.count, seed=data.seed
    )


def save_pwc(path: str | Path, network: PWCNet) -> None:
    """Write PWC-Net's weights in half precision, for `models.flow_pwc.load_pwc`.

    Raises:
        InputError: no space left, no permission, or no such folder.
    """
    metadata = network.architecture | {"kind": "flow"}
    write_state(path, network.state_dict(), metadata, half=True)


@torch.no_grad()
def validate_flow(network: PWCNet, pairs: Captures[FlowSample], processes: Processes) -> Validation:
    """Score PWC-Net and, for comparison, OpenCV's DIS flow on pairs.

    Returns:
        `valid_error` and `valid_visible_error`: mean endpoint errors in pixels, over all pixels and
        over those visible in both frames; `valid_dis_error`: that of DIS; `valid_motion`: mean
        length of the true flow, which is the error of zero flow. The score is the negative error.
    """
    dis = DISFlow()

    def score(pair: FlowSample) -> tuple[FlowScore, FlowScore]:
        return score_pair(network, pair, processes.device), score_pair(dis, pair, processes.device)

    scores = score_all(network, pairs, score, processes)
    found, of_dis = (mean_scores(column) for column in zip(*scores, strict=True))
    values = {
        "valid_error": found.error,
        "valid_visible_error": found.visible_error,
        "valid_dis_error": of_dis.error,
        "valid_motion": found.motion,
    }
    return Validation(values, -found.error)


@torch.no_grad()
def preview_flow(network: PWCNet, batch: FlowSample) -> Tensor:
    """Image strip of a batch's first sample: both frames, estimated flow, true flow.

    Returns:
        (3, H, 4 * W) on the CPU.
    """
    flow: Tensor = network(batch.first[:1], batch.second[:1])
    longest = float(batch.flow[0].norm(dim=0).max())
    images = [batch.first[0].cpu(), batch.second[0].cpu()]
    flows = torch.stack((flow[0].float().nan_to_num(), batch.flow[0]))
    pictures = flow_pictures(flows, max(longest, 1e-6))
    images += [torch.from_numpy(picture).permute(2, 0, 1) / 255 for picture in pictures]
    return torch.cat(images, dim=-1).float()
