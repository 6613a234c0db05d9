import importlib.util
from pathlib import Path
from urllib.error import URLError

import cv2
import numpy as np
import pytest
import scipy.io
from skimage import data

from utils.errors import InputError
from utils.evaluation.scores import open_metrics

needs_pyiqa = pytest.mark.skipif(
    importlib.util.find_spec("pyiqa") is None, reason="requirements-niqe.txt is not installed"
)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.quality.naturalness.find_spec", lambda name: None)
    expected = "^metric 'niqe': the package pyiqa is not installed; pip install -r "
    with pytest.raises(InputError, match=expected + "requirements-niqe.txt$"):
        open_metrics(("niqe",), "cpu")


@needs_pyiqa
def test_a_missing_model_is_named_with_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("pyiqa.archs.niqe_arch.load_file_from_url", offline)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError, match="metric 'niqe': its model could not be") as error:
        open_metrics(("niqe",), "cpu")
    assert str(tmp_path / "pyiqa" / "niqe_modelparameters.mat") in str(error.value)


@needs_pyiqa
def test_niqe_is_worse_for_a_blurred_photo_and_refuses_small_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Not the authors' model, but a blurred photo is farther from this one, too.
    model = tmp_path / "niqe_modelparameters.mat"
    scipy.io.savemat(model, {"mu_prisparam": np.ones((1, 36)), "cov_prisparam": np.eye(36)})
    monkeypatch.setattr("pyiqa.archs.niqe_arch.load_file_from_url", lambda url: str(model))
    measure = open_metrics(("niqe",), "cpu")["niqe"].measure
    assert measure is not None
    photo = data.astronaut()
    blurred = np.asarray(cv2.GaussianBlur(photo, (0, 0), 4), np.uint8)
    assert measure(photo[20:-20, 20:-20], None, 0) == measure(photo, None, 20)
    assert measure(photo, None, 0) < measure(blurred, None, 0)
    with pytest.raises(InputError, match="200x512 are too small for NIQE with a border of 20"):
        measure(photo[:200], None, 20)
