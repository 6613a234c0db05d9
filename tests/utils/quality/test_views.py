import numpy as np
import pytest
import torch

from tests.helpers.moving_texture import Pan
from utils.errors import InputError
from utils.metrics import psnr
from utils.quality.ghosts import double_edges, edge_sharpness
from utils.quality.views import BroughtViews


def test_both_views_are_brought_to_the_instant() -> None:
    pan = Pan((12, -5), (96, 128))
    views = BroughtViews(pan.pair())
    for t in (0.0, 0.5, 1.0):
        truth = np.round(pan.frame(t) * 255).astype(np.uint8)
        brought = views.at(t)
        assert all(psnr(image, truth, 16) > 38 for image in brought.images)
        assert brought.inside[16:-16, 16:-16].all() and not brought.inside.all()
        assert edge_sharpness(truth, brought) > 0.95
        assert not double_edges(truth, brought) > 0.05  # NaN if the views agree everywhere


def test_wrong_captures_are_refused() -> None:
    with pytest.raises(InputError, match="at least 2 are needed"):
        BroughtViews(torch.zeros(2, 3, 1, 8))
    with pytest.raises(ValueError, match="pair must be"):
        BroughtViews(torch.zeros(3, 8, 8))
