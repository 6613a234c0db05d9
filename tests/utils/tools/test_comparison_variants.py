from pathlib import Path

import pytest

from utils.errors import InputError
from utils.tools.comparison_variants import START, VARIANTS, choose_variants


def test_chains_of_variants_take_all_the_steps_together() -> None:
    shares = {variant.name: variant.share for variant in VARIANTS}
    for variant in VARIANTS:
        if variant.after != START:
            assert variant.share + shares[variant.after] == 1


def test_variants_without_their_file_are_left_out_unless_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    available = [variant.name for variant in VARIANTS if variant.needs is None]
    assert [variant.name for variant in choose_variants(None)] == available
    with pytest.raises(InputError, match="--variants pwc: needs pretrained/pwcnet.safetensors"):
        choose_variants(["pwc"])


def test_a_variant_brings_what_it_goes_on_from() -> None:
    assert [variant.name for variant in choose_variants(["stage2"])] == ["stage1_half", "stage2"]


def test_unknown_variants_are_refused() -> None:
    with pytest.raises(InputError, match="--variants stage3: unknown; expected any of supervised"):
        choose_variants(["stage3"])
