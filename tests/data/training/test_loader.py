import torch
from torch.utils.data import Dataset

from data.capture import TrainingSample
from data.simulator.settings import SceneSettings
from data.simulator.textures import load_textures
from data.training.crops import SimulatedTrainingSet, TrainingSetSettings
from data.training.loader import CachedSamples
from models.refiner.cues import find_training_cues


class Counted(Dataset[TrainingSample]):
    """Remembers which samples were made."""

    def __init__(self, dataset: Dataset[TrainingSample]) -> None:
        self.dataset, self.made = dataset, []

    def __getitem__(self, number: int) -> TrainingSample:
        self.made.append(number)
        return self.dataset[number]


def simulated(**settings: bool) -> SimulatedTrainingSet:
    scene = SceneSettings(height=64, width=64, camera_motion=8, object_motion=8, acceleration=1)
    return SimulatedTrainingSet(
        load_textures(None), scene, TrainingSetSettings(patch_size=64, **settings)
    )


def test_samples_come_again_and_are_made_once() -> None:
    counted = Counted(simulated(with_truth=True, with_flows=True, find_cues=find_training_cues))
    kept = CachedSamples(counted, 2)
    first, second, again = kept[4], kept[1], kept[0]
    assert counted.made == [0, 1]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.pair, second.pair)


def test_what_is_kept_is_what_was_made_but_for_rounding() -> None:
    dataset = simulated(with_truth=True, with_flows=True, find_cues=find_training_cues)
    made, kept = dataset[3], CachedSamples(dataset, 5)[3]
    for name, limit in {"pair": 0.51 / 255, "truth": 0.51 / 255, "truth_flows": 0.01}.items():
        torch.testing.assert_close(getattr(kept, name), getattr(made, name), atol=limit, rtol=0)
        assert getattr(kept, name).dtype == torch.float32
    for name in ("scan_time", "t", "cues"):
        assert torch.equal(getattr(kept, name), getattr(made, name))


def test_what_a_sample_lacks_stays_away() -> None:
    kept = CachedSamples(simulated(), 1)[0]
    assert kept.truth is None and kept.truth_flows is None and kept.cues is None
