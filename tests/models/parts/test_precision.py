import pytest
import torch

from models.parts import precision
from models.parts.precision import autocast, computes_bfloat16, is_lower, slow_bfloat16

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


def test_a_cpu_without_bfloat16_takes_it_only_when_asked_and_says_what_it_costs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert not is_lower("auto", CPU)
    assert slow_bfloat16("auto", CPU) is None and slow_bfloat16("float32", CPU) is None
    assert is_lower("bfloat16", CPU)
    assert slow_bfloat16("bfloat16", CPU) == (
        "precision 'bfloat16': this CPU has neither AVX512-BF16 nor AMX and emulates it; a pass "
        "takes about 11 times as long as in float32; set precision to 'auto' or 'float32'"
    )
    assert slow_bfloat16("bfloat16", torch.device("cuda")) is None
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert is_lower("auto", CPU) and slow_bfloat16("bfloat16", CPU) is None
