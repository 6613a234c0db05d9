"""How training rebuilds the inputs from the frames, and what that and its losses need."""

from typing import Literal

Rebuilding = Literal["flow", "interpolation"]
"""What rebuilds the inputs: reversed flow between the frames, or a frozen interpolator."""

_SMALLEST = 64  # of Lap, see `models.losses.laplacian`


def expect_rebuilder(
    rebuilding: Rebuilding, objective: str, *, flow: str | None, interpolator: str | None
) -> None:
    """Check that the network that rebuilds the inputs is named.

    Raises:
        ValueError: it is not.
    """
    if rebuilding == "flow" and flow is None:
        raise ValueError(
            f"path.pretrained_rsg: '{objective}' needs a PWC-Net file, \"raft_small\", "
            '"raft_large" or "dis", got null'
        )
    if rebuilding == "interpolation" and interpolator is None:
        raise ValueError(
            "path.pretrained_interpolator: train.rebuilding 'interpolation' needs the file "
            "flownet_sdi.pkl of InterpAny-Clearer (github.com/zzh-tech/InterpAny-Clearer, RIFE "
            "with distance maps), got null; train.rebuilding 'flow' needs none"
        )


def expect_lap_size(patch: tuple[int, int], border: int) -> None:
    """Check that the crops without their border are large enough for the term Lap.

    Raises:
        ValueError: they are not.
    """
    for side in patch:
        if side - 2 * border < _SMALLEST:
            without = f" - 2 * {border} (train.border)" if border else ""
            raise ValueError(
                f"datasets.train.patch_size: the term 'Lap' needs at least {_SMALLEST} rows and "
                f"columns, got {side}{without}"
            )
