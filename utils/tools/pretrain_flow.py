"""Pre-train the generator's flow blocks on shifted photos: `python -m utils.tools.pretrain_flow`.

With random weights, training of the flow blocks stays on a long plateau with zero flow. A narrow
block leaves the plateau within a thousand cheap steps if it only has to estimate the shift between
two patches. So the finest block learns the shift first. Its weights, padded to more channels,
initialise the coarser blocks, which learn it at their own scale. Then each block learns velocity
from the shift and the exposure times. The coarsest block outputs zero: its output is multiplied by
the offsets twice, which later blocks could not correct.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from data.simulator.textures import load_textures
from models.generator import Generator
from models.parts.generator_blocks import BLOCK_SCALES, FlowBlock
from models.parts.generator_layers import resize
from utils.checkpoint import save_weights
from utils.errors import InputError
from utils.options.command_line import run

_SIDE = 48  # px of a patch, at the block's scale
_BATCH = 16
_RATE = 1e-3
_WARMUP = 100
_IMAGES, _OFFSETS = 18, 6  # first input channels of the later blocks; the last flow's follow
_MIN_SIDE = 256  # px of a photo, for the coarsest patches and their shifts


@dataclass(frozen=True)
class Lesson:
    """What a block learns, and in how many steps.

    Attributes:
        level: the block, 1 to 3.
        first_shift: maximum shift at the start, in px at the block's scale.
        last_shift: maximum shift from 70 % of the steps on.
        steps: optimisation steps.
        timed: learn velocity from exposure times; otherwise the shift.
    """

    level: int
    first_shift: float
    last_shift: float
    steps: int
    timed: bool


LESSONS = (
    Lesson(3, 4.0, 4.0, 9400, timed=False),
    Lesson(2, 3.0, 6.0, 3400, timed=False),
    Lesson(1, 3.0, 8.0, 2000, timed=False),
    Lesson(3, 5.0, 5.0, 5000, timed=True),
    Lesson(2, 7.0, 7.0, 3300, timed=True),
    Lesson(1, 10.0, 10.0, 2000, timed=True),
)


def main() -> None:
    """Read the command line, train the blocks, write the generator's weights."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--photos", metavar="DIR", help="photos; scikit-image's if not given")
    parser.add_argument("--output", metavar="FILE", default="experiments/flow_blocks.safetensors")
    parser.add_argument("--width", type=float, default=0.5, help="of the generator")
    parser.add_argument("--seed", type=int, default=3, help="0 stayed on the plateau")
    arguments = parser.parse_args()
    if arguments.width <= 0 or arguments.seed < 0:
        given = f"--width {arguments.width:g} --seed {arguments.seed}"
        raise InputError(f"{given}: expected a width above 0 and a seed of at least 0")
    torch.manual_seed(arguments.seed)
    generator = Generator(width=arguments.width)
    pretrain(generator, load_textures(arguments.photos), LESSONS, arguments.seed)
    Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
    save_weights(Path(arguments.output), generator)
    sys.stdout.write(f"flow blocks are in {arguments.output}\n")


def pretrain(
    generator: Generator, photos: Sequence[Tensor], lessons: Sequence[Lesson], seed: int = 0
) -> None:
    """Train the flow blocks, and set the layers between them so that each adds to the flow.

    Args:
        generator: changed in place.
        photos: (3, h, w) textures; those with a side below 256 px are ignored.
        lessons: in this order.
        seed: of the patches and shifts.

    Raises:
        InputError: no photo is large enough.
    """
    pool = [photo for photo in photos if min(photo.shape[1:]) >= _MIN_SIDE]
    if not pool:
        raise InputError(f"photos: expected at least one of {_MIN_SIDE} px either way, got none")
    rng = np.random.default_rng(seed)
    for lesson in lessons:
        block = _block(generator, lesson.level)
        if not lesson.timed and lesson.level < 3:
            widen(_block(generator, 3), block)
        if lesson.timed:
            _silence_inputs(block, first=_IMAGES)
        teach(block, pool, lesson, rng)
    with torch.no_grad():
        for level in range(len(BLOCK_SCALES)):
            pointwise = generator.get_parameter(f"flow_net.conv{level}.0.weight")
            pointwise.copy_(torch.eye(12)[:, :, None, None])
        _block(generator, 0).conv1.weight.zero_()
        for level in (1, 2, 3):
            _silence_inputs(_block(generator, level), first=_IMAGES + _OFFSETS)
        generator.get_parameter("ife_net.conv1.0.weight").mul_(0.1)


def teach(
    block: FlowBlock, pool: Sequence[Tensor], lesson: Lesson, rng: np.random.Generator
) -> float:
    """Train a block on one lesson; return the last step's mean error in px at its scale."""
    scale, block.scale = block.scale, 1
    optimizer = torch.optim.AdamW(block.parameters(), lr=_RATE)
    error = torch.zeros(())
    for step in range(lesson.steps):
        fading = 1.0 if step < 0.7 * lesson.steps else 0.3
        optimizer.param_groups[0]["lr"] = _RATE * min(1, (step + 1) / _WARMUP) * fading
        progress = min(1.0, step / (0.7 * lesson.steps))
        max_shift = lesson.first_shift + (lesson.last_shift - lesson.first_shift) * progress
        error = _error(block, _draw(pool, max_shift, scale, lesson, rng), scale)
        optimizer.zero_grad()
        error.backward()
        torch.nn.utils.clip_grad_norm_(block.parameters(), 5.0)
        optimizer.step()
    block.scale = scale
    return float(error.detach())


def widen(narrow: FlowBlock, wide: FlowBlock) -> None:
    """Make `wide` compute what `narrow` does; later layers ignore its additional channels."""
    target = wide.state_dict()
    for name, source in narrow.state_dict().items():
        weight = target[name]
        if weight.ndim == 1:
            weight[: len(source)] = source
        elif name.startswith("conv1"):  # the head, a transposed convolution: (in, out, 4, 4)
            weight.zero_()
            weight[: len(source)] = source
        else:
            weight[: len(source)] = 0
            weight[: len(source), : source.shape[1]] = source
    wide.load_state_dict(target)


def _draw(
    pool: Sequence[Tensor], max_shift: float, scale: int, lesson: Lesson, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (N, 36, h, w), velocities (N, 2) and offsets (N, 6) of random patches."""
    angle, length = rng.uniform(0, 2 * math.pi, _BATCH), max_shift * rng.uniform(0, 1, _BATCH)
    components = np.stack((np.cos(angle) * length, np.sin(angle) * length), 1)
    velocity = torch.from_numpy(components).float()
    offsets, shift = torch.ones(_BATCH, 6), velocity
    if lesson.timed:
        s = torch.from_numpy(rng.uniform(0, 1, _BATCH)).float()
        t = torch.from_numpy(rng.integers(1, 8, _BATCH) / 8).float()
        times = torch.stack((torch.zeros_like(t), t, torch.ones_like(t)), dim=1)
        offsets = torch.cat((s[:, None] - times, 1 - s[:, None] - times), dim=1)
        shift = velocity * (1 - 2 * s)[:, None]
    t2b, b2t = _shifted(pool, shift, scale, rng)
    maps = offsets if lesson.timed else torch.zeros_like(offsets)
    maps = maps[:, :, None, None].expand(-1, -1, _SIDE, _SIDE)
    flow = torch.zeros(_BATCH, 12, _SIDE, _SIDE)
    return torch.cat((t2b, t2b, t2b, b2t, b2t, b2t, maps, flow), dim=1), velocity, offsets


def _error(block: FlowBlock, patches: tuple[Tensor, Tensor, Tensor], scale: int) -> Tensor:
    """Mean endpoint error of velocity times offset, in px at the block's scale."""
    inputs, velocity, offsets = patches
    with torch.autocast("cpu", torch.bfloat16):
        output = block(inputs)
    # At every scale a block's output is in pixels of the half-size grid of the full image.
    error = output.float().unflatten(1, (6, 2)) / (scale / 2) - velocity[:, None, :, None, None]
    scaled = error * offsets[:, :, None, None, None]
    return torch.sqrt(scaled.square().sum(2) + 1e-6).mean()


def _shifted(
    pool: Sequence[Tensor], shift: Tensor, scale: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Two views of random photo patches; `shift` is the displacement from first to second."""
    side, margin = _SIDE * scale, math.ceil(float(shift.abs().max()) * scale / 2) + 1
    whole = side + 2 * margin
    patches = []
    for index in rng.integers(0, len(pool), _BATCH):
        photo = pool[int(index)]
        top, left = rng.integers(0, (photo.shape[1] - whole + 1, photo.shape[2] - whole + 1))
        patches.append(photo[:, top : top + whole, left : left + whole])
    source = torch.stack(patches).float() / 255
    steps = torch.arange(side) + margin
    views = []
    for share in (0.5, -0.5):
        x = steps + share * scale * shift[:, :1]
        y = steps + share * scale * shift[:, 1:]
        grid_x = ((2 * x + 1) / whole - 1)[:, None, :].expand(-1, side, -1)
        grid_y = ((2 * y + 1) / whole - 1)[:, :, None].expand(-1, -1, side)
        grid = torch.stack((grid_x, grid_y), dim=-1)
        views.append(resize(F.grid_sample(source, grid, align_corners=False), 1 / scale))
    return views[0], views[1]


def _block(generator: Generator, level: int) -> FlowBlock:
    block = generator.get_submodule(f"flow_net.block{level}")
    assert isinstance(block, FlowBlock)
    return block


def _silence_inputs(block: FlowBlock, *, first: int) -> None:
    """Zero the weights of input channels from `first` on."""
    with torch.no_grad():
        block.get_parameter("conv0.0.0.weight")[:, first:] = 0


if __name__ == "__main__":
    run(main)
