"""The ways to train that `utils.tools.compare_objectives` compares."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.errors import InputError

START, SUPERVISED = "start", "supervised"

_PWC = "pretrained/pwcnet.safetensors"


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        name: of its folder.
        title: what tables call it.
        changes: overrides of the option file.
        script: what trains it.
        share: of the comparison's steps that it takes.
        after: variant whose weights it goes on from; the common start by default.
        needs: a file without which it is left out.
    """

    name: str
    title: str
    changes: tuple[str, ...] = ()
    script: str = "main_train_stage1.py"
    share: float = 1.0
    after: str = START
    needs: str | None = None


VARIANTS = (
    Variant(
        SUPERVISED,
        "supervised",
        ("train.objective=supervised", "train.G_lossfn_type=1*Charbonnier"),
    ),
    Variant("stage1", "stage 1"),
    Variant("stage1_half", "stage 1, half the samples", share=0.5),
    Variant(
        "stage2",
        "half stage 1, half stage 2",
        (
            "train.objective=distillation",
            "train.border=32",
            "datasets.train.patch_size=[256,256]",
        ),
        script="main_train_stage2.py",
        share=0.5,
        after="stage1_half",
    ),
    Variant(
        "sampling_released",
        "stage 1, half the samples, sampling `released`",
        ("train.sampling=released",),
        share=0.5,
    ),
    Variant(
        "times_continuous",
        "stage 1, half the samples, times `continuous`",
        ("datasets.train.times=continuous",),
        share=0.5,
    ),
    Variant(
        "pwc",
        "stage 1, half the samples, PWC-Net",
        (f"path.pretrained_rsg={_PWC}",),
        share=0.5,
        needs=_PWC,
    ),
    Variant(
        "pwc_gradients",
        "stage 1, half the samples, PWC-Net with gradients",
        (f"path.pretrained_rsg={_PWC}", "train.flow_gradients=true"),
        share=0.5,
        needs=_PWC,
    ),
)
"""What is compared; those with `after` come later than what they go on from."""


def choose_variants(names: Sequence[str] | None) -> list[Variant]:
    """The variants of these names, in the order of `VARIANTS`; all whose files exist by default.

    Raises:
        InputError: a name is unknown, or a named variant lacks its file.
    """
    known = {variant.name: variant for variant in VARIANTS}
    for name in names or ():
        if name not in known:
            raise InputError(f"--variants {name}: unknown; expected any of {', '.join(known)}")
        needs = known[name].needs
        if needs is not None and not Path(needs).is_file():
            raise InputError(f"--variants {name}: needs {needs}, which does not exist")
    wanted = set(known if names is None else names)
    wanted |= {known[name].after for name in wanted}
    return [
        variant
        for variant in VARIANTS
        if variant.name in wanted and (variant.needs is None or Path(variant.needs).is_file())
    ]
