from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor

from data.real_pairs import RealPairs
from models.generator import EncodedPairs, Generator
from models.inference import correction
from models.parts.network import CorrectionOutput
from models.parts.settings import InferenceSettings, frame_instants
from models.reference.formula_weights import fill_by_formula
from models.reference.generator import plain_correct
from models.refiner.network import Refiner
from tests.helpers.frames import network_frames
from utils.checkpoint import load_generator
from utils.errors import InputError

WHOLE = InferenceSettings(tile=None)


@pytest.fixture(scope="module")
def pair() -> Tensor:
    return RealPairs("data/samples")[0].pair


@pytest.fixture(scope="module")
def light() -> Generator:
    generator = Generator(width=0.25).eval()
    fill_by_formula(generator, 1, 1.0)
    return generator


def test_nine_frames_equal_the_plain_loop(light: Generator, pair: Tensor) -> None:
    part = pair[..., :90, :130]
    frames = network_frames(light, part, frame_instants(9), settings=WHOLE)
    torch.testing.assert_close(frames, plain_correct(light, part, 9), rtol=0, atol=1e-4)


def test_tiles_of_a_generator_show_no_seam(light: Generator, pair: Tensor) -> None:
    wide = torch.cat((pair, pair.flip(-1)), dim=-1)[..., :96, :]
    whole = network_frames(light, wide, [0.25], settings=WHOLE)
    tiled = network_frames(light, wide, [0.25], settings=InferenceSettings(tile=320))
    assert not torch.equal(tiled, whole)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-3)


def test_tiles_of_the_bundled_refiner_show_no_seam(pair: Tensor) -> None:
    refiner = load_generator("pretrained/drsc_light.safetensors")
    assert isinstance(refiner, Refiner)
    part = pair[..., :150, :210]
    whole = network_frames(refiner, part, [0.0, 0.25], settings=WHOLE)
    tiled = network_frames(refiner, part, [0.0, 0.25], settings=InferenceSettings(tile=64))
    torch.testing.assert_close(tiled, whole, rtol=0, atol=2e-5)


def test_a_batch_of_passes_makes_the_same_frames(
    light: Generator, pair: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, times = pair[..., :64, :96], frame_instants(6)
    alone = network_frames(light, part, times, settings=WHOLE)
    monkeypatch.setattr(correction, "BATCH_PIXELS", (0, 2 * 64 * 96))
    torch.testing.assert_close(
        network_frames(light, part, times, settings=WHOLE), alone, rtol=0, atol=1e-5
    )


def test_a_batch_of_a_refiners_frames_likewise(
    pair: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    refiner = load_generator("pretrained/drsc_light.safetensors")
    part, times = pair[..., :64, :96], (0.0, 0.25, 1.0)
    alone = network_frames(refiner, part, times, settings=WHOLE)
    monkeypatch.setattr(correction, "BATCH_PIXELS", (0, 2 * 64 * 96))
    torch.testing.assert_close(
        network_frames(refiner, part, times, settings=WHOLE), alone, rtol=0, atol=1e-5
    )


def test_generators_of_other_frame_counts_are_refused(pair: Tensor) -> None:
    five = Generator(num_frames=5, n_feats=8, width=0.05)
    with pytest.raises(InputError, match="makes 5 frames in a pass; expected 3"):
        network_frames(five, pair, [0.5])


def test_bfloat16_is_within_50_db(light: Generator, pair: Tensor) -> None:
    part = pair[..., :128, :128]
    exact = network_frames(light, part, [0.0, 0.25], settings=WHOLE)
    rounded = network_frames(light, part, [0.0, 0.25], settings=InferenceSettings("bfloat16", None))
    assert rounded.dtype == torch.float32 and not torch.equal(exact, rounded)
    assert -10 * float(torch.log10((exact - rounded).square().mean())) > 50


class ShortOfMemory(Generator):
    """Runs out of memory for more than 64 columns."""

    tile_margin = 0

    def decode(
        self, encoded: EncodedPairs, offsets: Tensor, wanted: Sequence[int] | None = None
    ) -> CorrectionOutput:
        if offsets.shape[-1] > 64:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return super().decode(encoded, offsets, wanted)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Generator]:
    monkeypatch.setattr(correction, "FALLBACK_TILE", 64)
    yield ShortOfMemory(n_feats=8, width=0.05).eval()


def test_out_of_memory_falls_back_to_tiles(
    short: Generator, pair: Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    part = pair[..., :64, :96]
    frames = network_frames(short, part, [0.5])
    assert capsys.readouterr().err == "96x64: out of memory, again in tiles of 64\n"
    assert torch.equal(
        frames, network_frames(short, part, [0.5], settings=InferenceSettings(tile=64))
    )
    with pytest.raises(torch.OutOfMemoryError):
        network_frames(short, part, [0.5], settings=WHOLE)
