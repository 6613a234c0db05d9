from pathlib import Path

import numpy as np
import pytest
import torch

from data.capture import CapturePair
from models.inference.correction import Corrected
from utils.errors import InputError
from utils.tools.parts.comparison import (
    START,
    VARIANTS,
    Scores,
    choose_variants,
    format_comparison,
    mean_over_scenes,
    score,
    write_comparison,
)


def scores(*psnr: tuple[float, float], ssim: float = 0.5, band: float = -1.0) -> Scores:
    """Two frames of each scene; the band's figures differ from the whole image's by `band`."""
    values = np.asarray(psnr, dtype=np.float64)
    return {
        "psnr": values,
        "ssim": np.full_like(values, ssim),
        "band_psnr": values + band,
        "inner_psnr": values + 2,
    }


def compared(**titles: Scores) -> list[dict[str, str]]:
    text = format_comparison(titles, reference="supervised")
    header, _, *rows = (
        [cell.strip() for cell in line[1:-1].split("|")] for line in text.split("\n")
    )
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_gains_are_measured_from_the_baseline_the_reference_and_the_start() -> None:
    mean, start = scores((20, 22), (22, 24)), scores((25, 27), (27, 29))
    trained = scores((25, 28), (28, 31), ssim=0.75, band=0)
    row = compared(mean=mean, start=start, supervised=scores((30, 30), (30, 30)), stage1=trained)[3]
    assert row[""] == "stage1"
    assert row["all frames"] == "28.00 / 0.7500"
    assert row["t = 0"] == "26.50 / 0.7500"
    assert row["t = 1"] == "29.50 / 0.7500"
    assert row["band of 32 px"] == "28.00"
    assert row["inside"] == "30.00"
    assert row["gain over mean"] == "+6.00"
    assert row["of the reference's gain"] == "75.0 %"  # 6 of 8 dB
    # The scenes gain 0.5 and 1.5 dB: mean 1, deviation 1 / sqrt(2), error of the mean 0.5.
    assert row["gain over start"] == "+1.00 ± 0.50"
    assert row["in the band over start"] == "+2.00 ± 0.50"


def test_one_scene_has_no_standard_error() -> None:
    rows = compared(mean=scores((20, 22)), start=scores((21, 23)), supervised=scores((20, 22)))
    assert rows[2]["gain over start"] == "-1.00"
    assert rows[1]["of the reference's gain"] == "–"  # the reference gains nothing


def test_frames_are_scored_at_the_true_instants_as_8_bit_images() -> None:
    truth = torch.zeros(2, 3, 136, 160)
    images = torch.full((3, 136, 160), 0.5)
    capture = CapturePair(
        images, images, torch.linspace(0, 1, 136), "s/0", truth, torch.tensor([0.0, 1.0])
    )

    def method(
        pair: torch.Tensor,
        times: object,
        *,
        scan_time: torch.Tensor | None = None,
        with_flows: bool = False,
    ) -> Corrected:
        assert times == [0.0, 1.0]
        frames = torch.zeros(2, 3, 136, 160)
        frames[:, :, 32:104, 32:128] = 1  # the part inside the band
        frames[1, :, 0, 0] = 1
        return Corrected(frames)

    found = score(method, [capture, capture])
    pixels, inside = 136 * 160, 72 * 96
    assert found["psnr"].shape == (2, 2)
    assert found["psnr"][0, 0] == pytest.approx(10 * np.log10(pixels / inside))
    assert found["inner_psnr"][1].tolist() == [0, 0]
    assert found["band_psnr"][0, 0] == np.inf
    assert found["band_psnr"][0, 1] == pytest.approx(10 * np.log10(pixels - inside))
    assert mean_over_scenes(found["band_psnr"]) == pytest.approx(found["band_psnr"][0, 1])


def test_the_table_and_the_curves_are_written(tmp_path: Path) -> None:
    found = {"mean": scores((20, 22)), "start": scores((21, 23)), "stage1": scores((22, 24))}
    write_comparison(tmp_path, found)
    assert "| stage1" in (tmp_path / "comparison.md").read_text()
    assert (tmp_path / "instants.png").read_bytes().startswith(b"\x89PNG")


def test_chains_of_variants_take_all_the_steps_together() -> None:
    for variant in VARIANTS.values():
        if variant.after not in (START, None):
            assert variant.share + VARIANTS[variant.after].share == 1


def test_variants_without_their_file_are_left_out_unless_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    available = [name for name, variant in VARIANTS.items() if variant.needs is None]
    assert choose_variants(None) == available
    with pytest.raises(InputError, match="--variants pwc: needs pretrained/pwcnet.safetensors"):
        choose_variants(["pwc"])
    with pytest.raises(InputError, match="plusplus_interpolation: needs mine.safetensors"):
        choose_variants(["plusplus_interpolation"], "mine.safetensors")
    Path("mine.safetensors").touch()
    chosen = choose_variants(["plusplus_interpolation"], "mine.safetensors")
    assert chosen == ["plusplus_interpolation"]


def test_a_variant_brings_what_it_goes_on_from() -> None:
    assert choose_variants(["stage2"]) == ["stage1_half", "stage2"]


def test_unknown_variants_are_refused() -> None:
    with pytest.raises(InputError, match="--variants stage3: unknown; expected any of supervised"):
        choose_variants(["stage3"])
