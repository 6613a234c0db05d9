"""What keys of the released code's option files are called here (docs/DIFFERENCES.md)."""

from collections.abc import Collection, Mapping

COUNTERPARTS: Mapping[str, str] = {
    "total_iter": "train.iterations",
    "gpu_ids": "the environment variable CUDA_VISIBLE_DEVICES, with one process per GPU",
    "dist": "torchrun, or --dist True",
    "manual_seed": "seed",
    "train.manual_seed": "seed",
    "train.total_iter": "train.iterations",
    "train.G_optimizer_type": "always AdamW",
    "train.G_optimizer_betas": "always PyTorch's",
    "train.G_scheduler_type": "always cosine annealing with warm restarts",
    "train.G_optimizer_reuse": "always on: checkpoints hold the optimiser",
    "train.G_lossfn_weight": "the factors in train.G_lossfn_type",
    "datasets.test": "datasets.valid in training, and datasets.test of options/test.json",
    "datasets.train.H_size": "datasets.train.patch_size",
    "datasets.train.dataroot_H": "datasets.train.data_root",
    "datasets.test.dataroot_H": "datasets.test.data_root",
    "path.log": "always path.root/task",
    "path.models": "always path.root/task/checkpoints",
    "netG.init_type": 'netG.init, "pytorch" as released',
    "train": "for training only",
    "netG": "read from the weights",
    "datasets.train": "for training only",
    "path.pretrained_rsg": "for training only",
}
"""Our name, or what takes its place, by the released key."""

WITHOUT_COUNTERPART = frozenset(
    {
        *(
            "model",
            "scale",
            "n_channels",
            "merge_bn",
            "merge_bn_startpoint",
            "find_unused_parameters",
        ),
        *("use_static_graph", "val", "path.pretrained_netE", "path.pretrained_netD"),
        *("path.pretrained_optimizerG", "path.images", "path.options", "path.task"),
        *("datasets.train.name", "datasets.train.phase", "datasets.train.dataloader_shuffle"),
        *("datasets.test.name", "datasets.test.phase", "datasets.test.dataloader_batch_size"),
        *("datasets.test.dataloader_num_workers", "datasets.test.dataloader_shuffle"),
        *("netG.init_bn_type", "netG.init_gain", "netG.bn_type", "netG.act_mode"),
        *("train.E_decay", "train.E_param_strict", "train.G_param_strict"),
        *("train.G_scheduler_milestones", "train.G_scheduler_gamma"),
        *("train.G_scheduler_restart_weights", "train.G_regularizer_orthstep"),
        *("train.G_regularizer_clipstep", "train.F_feature_layer", "train.F_weights"),
        *("train.F_lossfn_type", "train.F_use_input_norm", "train.F_use_range_norm"),
    }
)
"""Released keys that mean nothing here: what they set is fixed, or was never used."""

_MAX_NAMED = 5  # unknown keys of neither, in the answer
_MIN_RELEASED = 3  # unknown keys of the released code that make a file one of theirs


def explain_released(file: str, unknown: Collection[str]) -> str | None:
    """One line for an option file of the released code; None for other files.

    Args:
        file: its name.
        unknown: its keys that we do not know.
    """
    renamed = [key for key in unknown if key in COUNTERPARTS]
    dropped = [key for key in unknown if key in WITHOUT_COUNTERPART]
    if len(renamed) + len(dropped) < _MIN_RELEASED:
        return None
    names = "; ".join(f"'{key}' is {COUNTERPARTS[key]}" for key in renamed)
    parts = [names] if names else []
    if dropped:
        parts.append(f"leave out {', '.join(f'{key!r}' for key in dropped)}")
    others = [key for key in unknown if key not in {*renamed, *dropped}]
    if others:
        named = ", ".join(f"'{key}'" for key in others[:_MAX_NAMED])
        more = ", ..." if len(others) > _MAX_NAMED else ""
        parts.append(f"{len(others)} more keys are unknown: {named}{more}")
    start = (
        "options/train_stage1.json or train_stage2.json, which are its recipe (weight decay 0.01 "
        "was in force, whatever train.G_optimizer_wd says)"
    )
    if "train" in unknown:
        start = "options/test.json or test_real.json"
    return (
        f"{file}: an option file of the released code; start from {start}, where "
        f"{'; '.join(parts)} (docs/DIFFERENCES.md)"
    )
