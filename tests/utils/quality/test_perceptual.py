import importlib.util
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torchvision.models import AlexNet_Weights, alexnet

from tests.helpers.capture_folders import random_pixels
from utils.errors import InputError
from utils.evaluation.scores import open_metrics
from utils.metrics import METRICS
from utils.options.evaluation import OptionalMetric

FRAME, TRUTH = random_pixels("frame", (48, 56)), random_pixels("truth", (48, 56))

needs_lpips = pytest.mark.skipif(
    importlib.util.find_spec("lpips") is None, reason="requirements-metrics.txt is not installed"
)


def test_metrics_that_need_weights_are_opened_only_by_name() -> None:
    loaded = [name for name, metric in METRICS.items() if metric.load]
    assert list(open_metrics((), "cpu")) == [name for name in METRICS if name not in loaded]
    assert tuple(loaded) == get_args(OptionalMetric)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.quality.perceptual.find_spec", lambda name: None)
    expected = "^metric 'lpips_vgg': the package lpips is not installed; pip install -r "
    with pytest.raises(InputError, match=expected + "requirements-metrics.txt$"):
        open_metrics(("lpips_vgg",), "cpu")


def test_missing_weights_are_named_with_their_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("utils.quality.perceptual.find_spec", lambda name: object())
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(AlexNet_Weights, "get_state_dict", offline)
    with pytest.raises(InputError, match="AlexNet weights could not be downloaded") as error:
        open_metrics(("lpips_alex",), "cpu")
    assert str(tmp_path / "checkpoints" / "alexnet-owt-7be5be79.pth") in str(error.value)
    assert "or leave lpips_alex out of optional_metrics" in str(error.value)


@needs_lpips
def test_lpips_uses_the_backbone_of_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import lpips

    torch.manual_seed(0)
    backbone = alexnet(weights=None)
    (tmp_path / "checkpoints").mkdir()
    torch.save(backbone.state_dict(), tmp_path / "checkpoints" / "alexnet-owt-7be5be79.pth")
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    measure = open_metrics(("lpips_alex",), "cpu")["lpips_alex"].measure
    assert measure is not None
    # By the paper's formula (1), on features of the layers after each of the five ReLUs.
    network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    shift, scale = (
        torch.tensor(values)[None, :, None, None]
        for values in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450))
    )
    features = [
        (torch.from_numpy(image[4:-4, 4:-4] / np.float32(127.5) - 1).permute(2, 0, 1)[None] - shift)
        / scale
        for image in (FRAME, TRUTH)
    ]
    expected, first = 0.0, 0
    with torch.no_grad():
        for end, linear in zip((2, 5, 8, 10, 12), network.lins, strict=True):
            features = [backbone.features[first:end](feature) for feature in features]
            units = [each / (each.norm(dim=1, keepdim=True) + 1e-10) for each in features]
            squared = (units[0] - units[1]) ** 2
            expected += float((squared * linear.model[-1].weight).sum(1).mean())
            first = end
    assert measure(FRAME, TRUTH, 4) == pytest.approx(expected, rel=1e-4)
    assert measure(FRAME, FRAME, 4) == 0
    with pytest.raises(InputError, match="48x56 are too small for LPIPS with a border of 9"):
        measure(FRAME, TRUTH, 9)
