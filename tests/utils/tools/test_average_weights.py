from pathlib import Path

import pytest
import torch

from models.refiner.network import Refiner
from utils.checkpoint import load_generator, save_weights
from utils.errors import InputError
from utils.tools.average_weights import average, main


@pytest.fixture
def ends(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "start.safetensors", tmp_path / "end.safetensors"
    for path, value in zip(paths, (1.0, 3.0), strict=True):
        network = Refiner(width=0.25)
        for parameter in network.parameters():
            torch.nn.init.constant_(parameter, value)
        save_weights(path, network)
    return paths


@pytest.mark.parametrize(("share", "expected"), [("0", 1.0), ("0.25", 1.5), ("1", 3.0)])
def test_each_weight_is_averaged_by_the_share(
    ends: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, share: str, expected: float
) -> None:
    output = ends[0].with_name("average.safetensors")
    arguments = [*map(str, ends), str(output), "--share", share]
    monkeypatch.setattr("sys.argv", ["average_weights", *arguments])
    main()
    network = load_generator(output)
    assert isinstance(network, Refiner) and network.width == 0.25
    assert all(bool((parameter == expected).all()) for parameter in network.parameters())


def test_other_networks_and_shares_are_refused(ends: tuple[Path, Path]) -> None:
    output = ends[0].with_name("average.safetensors")
    with pytest.raises(InputError, match="expected a number from 0 to 1, got 1.5"):
        average(*ends, output, 1.5)
    with pytest.raises(InputError, match="average.pt: expected a name that ends in .safetensors"):
        average(*ends, output.with_suffix(".pt"), 0.5)
    save_weights(ends[1], Refiner(width=0.5))
    with pytest.raises(InputError, match=r"end.safetensors: expected .*width=0.25.*width=0.5"):
        average(*ends, output, 0.5)
    with pytest.raises(InputError, match="no such file"):
        average(ends[0], ends[0].with_name("missing.safetensors"), output, 0.5)
    assert not output.exists()
