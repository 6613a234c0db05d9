import pytest
import torch

from models.parts import precision
from models.parts.precision import autocast, computes_bfloat16

CPU = torch.device("cpu")


@pytest.mark.parametrize(("has", "expected"), [(True, True), (False, False)])
def test_auto_follows_the_hardware(
    has: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: has)
    for name, on in (("auto", expected), ("float32", False), ("bfloat16", True)):
        with autocast(name, CPU):  # type: ignore[arg-type]
            assert torch.is_autocast_enabled("cpu") == on
            result = torch.ones(2, 2) @ torch.ones(2, 2)
            assert result.dtype == (torch.bfloat16 if on else torch.float32)


def test_only_processors_and_gpus_are_asked() -> None:
    assert not computes_bfloat16(torch.device("meta"))
