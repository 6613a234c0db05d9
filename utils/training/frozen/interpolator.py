"""Training of an interpolator: network, objective, data, validation and preview."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from data.training.interpolation import (
    InterpolationSample,
    InterpolationScenes,
    InterpolationTrainingSet,
)
from models.architecture import expect_architecture
from models.losses.interpolation import InterpolationObjective
from models.plusplus.interpolator import Interpolator, load_interpolator
from utils.checkpoint import write_state
from utils.options.interpolator_training import InterpolatorTrainingOptions
from utils.system.distributed import Processes
from utils.training.data import Captures, load_scene_textures, scene_crops
from utils.training.loop import Subject
from utils.training.records.announcement import describe_scenes
from utils.training.validation import Validation, score_all


class InterpolationScore(NamedTuple):
    """Of one sample: mean squared errors, and pixels.

    Attributes:
        squared: of the interpolated image.
        blended: of both frames blended by the position, without motion.
        error: mean endpoint error of the flows to both frames, where they show the point.
        motion: mean length of the true flows there, the error of zero flow.
    """

    squared: float
    blended: float
    error: float
    motion: float


def build_interpolator_subject(
    options: InterpolatorTrainingOptions, processes: Processes
) -> Subject[InterpolationSample]:
    """Network, objective and data of the options.

    Raises:
        InputError: photos or weights cannot be used.
    """
    training_set = build_interpolator_training_set(options)
    samples = build_interpolator_validation_set(options)
    network = build_interpolator(options)
    return Subject(
        network,
        InterpolationObjective(options.train.loss_weights),
        training_set,
        network.architecture,
        file="interpolator.safetensors",
        write=save_interpolator,
        preview=partial(preview_interpolation, network),
        validate=(
            None
            if samples is None
            else partial(validate_interpolator, samples=samples, processes=processes)
        ),
        described=(f"training on {describe_scenes(options.datasets.train)}",),
        is_pretrained=options.path.pretrained_interpolator is not None,
    )


def build_interpolator(options: InterpolatorTrainingOptions) -> Interpolator:
    """An untrained interpolator, or one with the weights of `path.pretrained_interpolator`.

    Raises:
        InputError: the weights are missing, damaged or of another network.
    """
    network = Interpolator(options.netI.width)
    source = options.path.pretrained_interpolator
    if source is not None:
        pretrained = load_interpolator(source)
        expect_architecture(pretrained.architecture, network.architecture, source)
        network.load_state_dict(pretrained.state_dict())
    return network


def build_interpolator_training_set(
    options: InterpolatorTrainingOptions,
) -> InterpolationTrainingSet:
    """The endless training samples of the options.

    Raises:
        InputError: the folder of photos is missing or empty.
    """
    data = options.datasets.train
    settings = scene_crops(data, options.seed)
    return InterpolationTrainingSet(load_scene_textures(data), data.scene.settings(), settings)


def build_interpolator_validation_set(
    options: InterpolatorTrainingOptions,
) -> InterpolationScenes | None:
    """The validation samples of the options, or None.

    Raises:
        InputError: the folder of photos is missing or empty.
    """
    data = options.datasets.valid
    if data is None:
        return None
    return InterpolationScenes(
        load_scene_textures(data), data.scene.settings(), count=data.count, seed=data.seed
    )


def save_interpolator(path: str | Path, network: Interpolator) -> None:
    """Write an interpolator's weights in half precision, for `path.pretrained_interpolator`.

    Raises:
        InputError: no space left, no permission, or no such folder.
    """
    metadata = {name: str(value) for name, value in network.architecture.items()}
    write_state(path, network.state_dict(), metadata | {"kind": "interpolator"}, half=True)


@torch.no_grad()
def validate_interpolator(
    network: Interpolator, samples: Captures[InterpolationSample], processes: Processes
) -> Validation:
    """Score an interpolator on whole images between the frames at both ends of the readout.

    Returns:
        `valid_psnr`: of the images, in dB, from the mean squared error over all samples;
        `valid_blend_psnr`: that of both frames blended by the position, without motion;
        `valid_error`: endpoint error of the flows in pixels, where the frames show the point;
        `valid_motion`: mean length of the true flow. The score is the PSNR.
    """
    scores = score_all(
        network, samples, partial(score_sample, network, device=processes.device), processes
    )
    columns = torch.tensor(scores, dtype=torch.float64).mean(dim=0)
    psnr, blended = (-10 * torch.log10(columns[:2])).tolist()
    error, motion = columns[2:].tolist()
    values = {
        "valid_psnr": psnr,
        "valid_blend_psnr": blended,
        "valid_error": error,
        "valid_motion": motion,
    }
    return Validation(values, psnr)


@torch.no_grad()
def score_sample(
    network: nn.Module, sample: InterpolationSample, device: torch.device
) -> InterpolationScore:
    """Score an interpolator on one sample without a batch axis."""
    batch = InterpolationSample(*(part[None].to(device) for part in sample))
    position = batch.position[:, None, :, None].expand_as(batch.target[:, :1])
    image, motion = network(batch.first, batch.second, position, with_motion=True)
    blend = torch.lerp(batch.first, batch.second, position)
    height, width = batch.target.shape[-2:]
    flow = motion.flows[-1][..., :height, :width].float().unflatten(1, (2, 2))
    truth, seen = batch.flows.unflatten(1, (2, 2)), batch.visible > 0.5
    return InterpolationScore(
        float((image.float() - batch.target).square().mean()),
        float((blend - batch.target).square().mean()),
        float((flow - truth).norm(dim=2)[seen].mean()),
        float(truth.norm(dim=2)[seen].mean()),
    )


@torch.no_grad()
def preview_interpolation(network: Interpolator, batch: InterpolationSample) -> Tensor:
    """Image strip of a batch's first sample: both frames, interpolated image, true image.

    Returns:
        (3, H, 4 * W) on the CPU.
    """
    first, second, position, target = (part[:1] for part in batch[:4])
    image = network(first, second, position[:, None, :, None].expand_as(target[:, :1]))
    assert isinstance(image, Tensor)
    return torch.cat((first, second, image, target), dim=-1)[0].float().cpu()
