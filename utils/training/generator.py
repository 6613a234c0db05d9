"""Training of the generator: network, objective, and how the loop reports on them."""

from dataclasses import asdict
from functools import partial

import torch
from torch import nn
from torch.utils.data import Dataset

from data.capture import TrainingSample
from models.flow.networks import load_flow
from models.losses.terms import load_perceptual
from models.networks import Corrector
from models.objectives import CycleObjective, DistillationObjective, SupervisedObjective
from models.parts.memory_saving import recompute
from utils.checkpoint import Architecture, expect_architecture, load_generator, save_weights
from utils.options.training import PathOptions, StepOptions, TrainingOptions
from utils.training.data import ValidationCaptures
from utils.training.experiment import Experiment
from utils.training.loop import Subject, run_training
from utils.training.validation import preview, validate


def build_generator(options: TrainingOptions) -> Corrector:
    """The generator that the options describe, with `path.pretrained_netG`'s weights if named.

    Raises:
        InputError: the weights are missing, damaged or of another generator.
    """
    size = options.netG
    architecture = Architecture(size.n_feats, size.width, 3, size.channels, size.net_type)
    generator = architecture.build()
    if options.path.pretrained_netG is not None:
        pretrained = load_generator(options.path.pretrained_netG)
        found, expected = (asdict(Architecture.of(network)) for network in (pretrained, generator))
        expect_architecture(found, expected, options.path.pretrained_netG)
        generator.load_state_dict(pretrained.state_dict())
    return generator


def build_objective(options: TrainingOptions, device: torch.device) -> nn.Module:
    """The objective that the options describe, its frozen networks loaded, on `device`.

    Raises:
        InputError: a file with weights is missing or holds something else.
    """
    step, path = options.train, options.path
    perceptual = None
    if "Perceptual" in step.loss_weights and path.perceptual_weights is not None:
        perceptual = load_perceptual(path.perceptual_weights)
    if step.objective == "supervised":
        return SupervisedObjective(step.loss_weights, perceptual=perceptual).to(device)
    cycle = CycleObjective(
        step.loss_weights,
        flow=load_flow(str(path.pretrained_rsg), step.sampling),
        perceptual=perceptual,
        sampling=step.sampling,
        flow_gradients=step.flow_gradients,
        hidden_share=step.hidden_share,
    )
    if step.objective == "cycle":
        return cycle.to(device)
    teacher = load_generator(str(path.pretrained_netG))
    return DistillationObjective(cycle, teacher, step.border).to(device)


def fit(
    generator: Corrector,
    objective: nn.Module,
    training_set: Dataset[TrainingSample],
    *,
    validation_set: ValidationCaptures | None,
    experiment: Experiment,
) -> None:
    """Train a generator as `utils.training.loop.run_training` does.

    Args:
        generator: network to train.
        objective: (generator, batch) -> total loss and named terms, on the processes' device.
        training_set: sample n is a function of n.
        validation_set: scored every `checkpoint_test` steps, pretrained weights before the first,
            too; the best weights are kept.
        experiment: options, processes, folder and log.

    Raises:
        InputError: see `run_training`.
        SystemExit: the run was asked to stop.
    """
    score = None
    if validation_set is not None:
        score = partial(validate, generator, objective, validation_set, experiment.processes)
    path, step = experiment.options.path, experiment.options.train
    if isinstance(step, StepOptions) and step.gradient_checkpointing:
        recompute(generator)
    subject = Subject(
        generator,
        asdict(Architecture.of(generator)),
        file="generator.safetensors",
        write=partial(save_weights, generator=generator),
        preview=partial(preview, generator, objective),
        validate=score,
        is_pretrained=isinstance(path, PathOptions) and path.pretrained_netG is not None,
    )
    run_training(subject, objective, training_set, experiment)
