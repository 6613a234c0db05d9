import itertools
import multiprocessing
import os
import pickle

import pytest
import torch

from data.capture import CapturePair
from data.rs_gopro import RSGOPRO
from data.simulator.drawing import draw_scene
from data.simulator.layers import Window
from data.simulator.settings import SceneSettings
from data.time_maps import offset_maps, scan_time
from data.training.crops import FolderTrainingSet, SimulatedTrainingSet, TrainingSetSettings
from data.training.loader import training_loader
from data.transforms import flip_horizontal, flip_vertical, reverse_time
from models.refiner.cues import MotionCues, find_motion, find_training_cues
from tests.helpers.capture_folders import write_pixels, write_rs_gopro
from utils.errors import InputError

CPU = torch.device("cpu")
SCENE = SceneSettings(height=48, width=64, camera_motion=8, object_motion=10, acceleration=2)


class KnownCaptures:
    """Captures in memory whose pixels all differ."""

    def __init__(self, count, *, frames=0, size=(12, 16)):
        self.count, self.frames, self.size = count, frames, size
        self.loaded = []

    def __len__(self):
        return self.count

    def frame_count(self, index):
        return self.frames

    def load(self, index, frames=()):
        self.loaded.append((index, tuple(frames)))
        height, width = self.size
        images = torch.rand(
            2 + self.frames, 3, height, width, generator=torch.Generator().manual_seed(index)
        )
        chosen = torch.tensor(tuple(frames), dtype=torch.long)
        return CapturePair(
            t2b=images[0],
            b2t=images[1],
            scan_time=scan_time(height),
            name=f"known/{index}",
            truth=images[2 + chosen] if frames else None,
            truth_times=chosen / (self.frames - 1) if frames else None,
        )


def folder_set(captures, **settings):
    return FolderTrainingSet(captures, TrainingSetSettings(**settings))


def simulated_set(**settings):
    photo = torch.rand(3, 80, 90, generator=torch.Generator().manual_seed(5))
    return SimulatedTrainingSet([photo, photo.flip(1)], SCENE, TrainingSetSettings(**settings))


def same(first, second):
    return all(
        (a is None and b is None) or torch.equal(a, b) for a, b in zip(first, second, strict=True)
    )


def is_from(sample, capture):
    """Whether the sample is the whole capture or any of its mirror images and reversals."""
    for mirrored, upside_down, backwards in itertools.product((False, True), repeat=3):
        variant = flip_horizontal(capture) if mirrored else capture
        variant = flip_vertical(variant) if upside_down else variant
        variant = reverse_time(variant) if backwards else variant
        if torch.equal(sample.pair, variant.pair):
            torch.testing.assert_close(sample.scan_time, variant.scan_time)
            if sample.truth is not None:
                assert torch.equal(sample.truth, variant.truth)
                torch.testing.assert_close(sample.t, variant.truth_times[1])
            return mirrored, upside_down, backwards
    return None


both_kinds = pytest.mark.parametrize(
    "dataset",
    [
        folder_set(KnownCaptures(5, frames=9), patch_size=8, with_truth=True),
        simulated_set(patch_size=16, with_truth=True, times="continuous"),
    ],
    ids=["folder", "simulated"],
)


@both_kinds
def test_samples_depend_on_their_number_alone(dataset):
    forwards = [dataset[number] for number in range(6)]
    backwards = [dataset[number] for number in reversed(range(6))][::-1]
    copy = pickle.loads(pickle.dumps(dataset))
    for number in range(6):
        assert same(forwards[number], backwards[number])
        assert same(forwards[number], copy[number])
    for first, second in itertools.combinations(forwards, 2):
        assert not torch.equal(first.pair, second.pair)


def test_seeds_differ():
    captures = KnownCaptures(5)
    assert not same(
        folder_set(captures, patch_size=8)[3], folder_set(captures, patch_size=8, seed=1)[3]
    )
    assert not same(simulated_set(patch_size=8)[3], simulated_set(patch_size=8, seed=1)[3])


def test_every_epoch_takes_each_capture_once_in_a_new_order():
    captures = KnownCaptures(10)
    dataset = folder_set(captures, patch_size=8)
    for number in range(30):
        dataset[number]
    order = [index for index, _ in captures.loaded]
    epochs = [order[:10], order[10:20], order[20:]]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_crops_are_joint_and_keep_the_scan_time_of_their_rows():
    captures = KnownCaptures(1, frames=3)
    dataset = folder_set(captures, patch_size=8, augment=False, with_truth=True)
    whole = captures.load(0, (0, 1, 2))
    corners = set()
    for number in range(400):
        sample = dataset[number]
        top = int((sample.scan_time[0] * 11).round())
        left = int((whole.t2b[0, top] == sample.pair[0, 0, 0, 0]).nonzero())
        window = (..., slice(top, top + 8), slice(left, left + 8))
        assert torch.equal(sample.pair, whole.pair[window])
        assert torch.equal(sample.truth, whole.truth[window])
        assert torch.equal(sample.scan_time, whole.scan_time[top : top + 8])
        corners.add((top, left))
    assert corners == set(itertools.product(range(5), range(9)))


def test_all_eight_symmetries_occur_equally_often():
    captures = KnownCaptures(1, frames=5, size=(8, 8))
    dataset = folder_set(captures, patch_size=8, with_truth=True)
    found = []
    for number in range(240):
        sample = dataset[number]
        _, frames = captures.loaded[-1]
        found.append(is_from(sample, captures.load(0, frames)))
    counts = [found.count(symmetry) for symmetry in itertools.product((False, True), repeat=3)]
    assert sum(counts) == 240
    assert min(counts) > 12


def test_only_the_frames_that_are_needed_are_read():
    captures = KnownCaptures(3, frames=9)
    assert folder_set(captures, patch_size=8)[0].truth is None
    dataset = folder_set(captures, patch_size=8, with_truth=True)
    middles = set()
    for number in range(100):
        assert dataset[number].truth.shape == (3, 3, 8, 8)
        first, middle, last = captures.loaded[-1][1]
        assert (first, last) == (0, 8)
        middles.add(middle)
    assert captures.loaded[0][1] == ()
    assert middles == set(range(1, 8))


@pytest.mark.parametrize(
    "make",
    [lambda **s: folder_set(KnownCaptures(3), **s), simulated_set],
    ids=["folder", "simulated"],
)
def test_instants(make):
    dataset = make(patch_size=8, times="released")
    drawn = {dataset[number].t.item() for number in range(100)}
    assert drawn == {eighth / 8 for eighth in range(1, 8)}
    dataset = make(patch_size=8, times="continuous")
    drawn = torch.stack([dataset[number].t for number in range(100)])
    assert drawn.dtype == torch.float32
    assert len(drawn.unique()) == 100
    assert 0 <= drawn.min() < 0.1 < 0.9 < drawn.max() <= 1


def test_folders_with_other_frame_counts_draw_their_own_instants():
    dataset = folder_set(KnownCaptures(3, frames=4), patch_size=8, with_truth=True)
    drawn = {round(dataset[number].t.item(), 6) for number in range(50)}
    assert drawn == {0.333333, 0.666667}


def test_fixed_instants_have_their_true_frames_in_order():
    instants = (0.0, 0.25, 0.5, 0.75, 1.0)
    captures = KnownCaptures(3, frames=9)
    settings = {"patch_size": (12, 16), "with_truth": True, "instants": instants}
    sample = folder_set(captures, augment=False, **settings)[4]
    index, frames = captures.loaded[-1]
    assert frames == (0, 2, 4, 6, 8)
    assert torch.equal(sample.truth, captures.load(index, frames).truth)
    assert float(sample.t) == 0.5
    captures.names, captures.frames = ["a/0", "a/1", "a/2"], 4
    with pytest.raises(InputError, match="a/0: expected true frames at t = 0, 0.25, .* got 4"):
        folder_set(captures, **settings)
    made = simulated_set(augment=False, **settings | {"with_flows": True})[2]
    assert made.truth.shape == (5, 3, 12, 16)
    assert made.truth_flows.shape == (5, 2, 2, 6, 8)


def test_simulated_crops_are_what_the_scene_shows():
    dataset = simulated_set(patch_size=16, augment=False, with_truth=True, with_flows=True)
    sample = dataset[7]
    scene = draw_scene(dataset.textures, SCENE, (0, 7, 3))
    top = int((sample.scan_time[0] * 47).round())
    whole = scene.capture((0.0, sample.t.item(), 1.0))
    matches = (whole.pair[:, :, top : top + 16].unfold(3, 16, 1).movedim(3, 0) - sample.pair).abs()
    left = int(matches.flatten(1).amax(1).argmin())
    window = (..., slice(top, top + 16), slice(left, left + 16))
    torch.testing.assert_close(sample.pair, whole.pair[window], atol=1e-4, rtol=0)
    torch.testing.assert_close(sample.truth, whole.truth[window], atol=1e-4, rtol=0)
    crop = Window(top, left, 16, 16)
    part = scene.capture((0.0, sample.t.item(), 1.0), crop, with_flows=True, flow_stride=2)
    torch.testing.assert_close(sample.truth_flows, part.truth_flows, atol=1e-3, rtol=0)


def test_simulated_samples_carry_only_what_is_asked_for():
    plain = simulated_set(patch_size=8)[0]
    assert plain.truth is plain.truth_flows is None
    flows = simulated_set(patch_size=8, with_flows=True)[0]
    assert flows.truth is None
    assert flows.truth_flows.shape == (3, 2, 2, 4, 4)
    assert torch.equal(plain.pair, flows.pair)


def test_cues_are_those_of_the_sample_as_it_is_flipped():
    sample = simulated_set(find_cues=find_training_cues, patch_size=32)[3]
    times = torch.stack((torch.zeros(()), sample.t, torch.ones(())))
    maps = offset_maps(sample.scan_time[None], times[None])
    found = find_motion(sample.pair[None], maps.expand(-1, -1, -1, sample.pair.shape[-1]))
    # `t` was rounded to single precision in between.
    torch.testing.assert_close(sample.cues, found.packed, atol=1e-3, rtol=1e-3)
    parts = MotionCues.of_samples(sample.cues[None])
    assert [part.shape for part in parts] == [part.shape for part in found]
    assert torch.equal(parts.packed, sample.cues)


def test_crops_may_be_wider_than_high():
    captures = KnownCaptures(1, size=(12, 40))
    assert folder_set(captures, patch_size=(8, 32))[0].pair.shape == (2, 3, 8, 32)
    sample = simulated_set(patch_size=(16, 48), with_truth=True, with_flows=True)[3]
    assert sample.pair.shape == (2, 3, 16, 48)
    assert sample.scan_time.shape == (16,)
    assert sample.truth_flows.shape == (3, 2, 2, 8, 24)
    with pytest.raises(InputError, match="patch_size 8x48 is larger than the image, 12x40"):
        folder_set(captures, patch_size=(8, 48))[0]


def test_patch_larger_than_the_image():
    dataset = folder_set(KnownCaptures(1, size=(12, 40)), patch_size=16)
    expected = r"known/0: patch_size 16x16 is larger than the image, 12x40 \(rows x columns\)"
    with pytest.raises(InputError, match=expected):
        dataset[0]
    with pytest.raises(InputError, match="simulated scenes: patch_size 49x49 .* 48x64"):
        simulated_set(patch_size=49)


def test_impossible_settings_for_folders():
    with pytest.raises(InputError, match="at least 3 true frames per capture, got 2"):
        folder_set(KnownCaptures(2, frames=2), with_truth=True)
    with pytest.raises(InputError, match="flows: exact ones exist for simulated scenes only"):
        folder_set(KnownCaptures(2), with_flows=True)


def test_rs_gopro_folders_train(tmp_path):
    write_rs_gopro(tmp_path, pairs=2, frames=3)
    captures = RSGOPRO(tmp_path, "train")
    dataset = folder_set(captures, patch_size=6, with_truth=True)
    assert dataset[5].truth.shape == (3, 3, 6, 6)
    assert dataset[5].t.item() == 0.5


def take(count, dataset, **options):
    return list(itertools.islice(training_loader(dataset, device=CPU, **options), count))


def test_batches_count_up_from_the_first_step():
    dataset = folder_set(KnownCaptures(5, frames=3), patch_size=8, with_truth=True)
    batches = take(3, dataset, batch_size=4, first_step=2)
    for step, batch in enumerate(batches, start=2):
        assert batch.pair.shape == (4, 2, 3, 8, 8)
        for position in range(4):
            sample = dataset[step * 4 + position]
            assert same([field[position] for field in batch if field is not None], sample[:4])


def test_ranks_share_each_batch():
    dataset = folder_set(KnownCaptures(5), patch_size=8)
    alone = take(3, dataset, batch_size=4)
    shares = [take(3, dataset, batch_size=4, rank=rank, world_size=2) for rank in range(2)]
    for whole, first, second in zip(alone, *shares, strict=True):
        assert torch.equal(whole.pair, torch.cat((first.pair, second.pair)))
        assert torch.equal(whole.t, torch.cat((first.t, second.t)))


@both_kinds
def test_workers_prepare_the_same_batches(dataset):
    here = take(4, dataset, batch_size=2)
    there = take(4, dataset, batch_size=2, num_workers=2)
    assert all(same(first, second) for first, second in zip(here, there, strict=True))


def test_signals_to_the_process_group_spare_the_workers():
    batches = training_loader(
        folder_set(KnownCaptures(5), patch_size=8), batch_size=1, num_workers=1, device=CPU
    )
    next(batches)
    (worker,) = multiprocessing.active_children()
    assert os.getpgid(worker.pid) != os.getpgrp()


def test_the_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    take(2, folder_set(KnownCaptures(5), patch_size=8), batch_size=2)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("batch_size", [3, 0])
def test_batches_that_cannot_be_shared(batch_size):
    dataset = folder_set(KnownCaptures(5), patch_size=8)
    expected = f"batch size {batch_size} cannot be shared equally by 2 processes"
    with pytest.raises(InputError, match=expected):
        training_loader(dataset, batch_size=batch_size, world_size=2, device=CPU)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_bad_input_is_told_in_one_line_wherever_it_is_found(tmp_path, num_workers):
    split = write_rs_gopro(tmp_path)
    write_pixels(split / "seq" / "RS" / "00000000_rs_b2t.png", (5, 5))
    dataset = folder_set(RSGOPRO(tmp_path, "train"), patch_size=4)
    with pytest.raises(InputError, match="expected 8x6 pixels like .*, got 5x5$"):
        take(1, dataset, batch_size=1, num_workers=num_workers)


def test_crops_of_one_scene_come_in_a_row_whatever_was_drawn_before():
    settings = TrainingSetSettings(patch_size=32, seed=3, augment=False, crops_per_scene=3)
    scene = SceneSettings(height=64, width=96, camera_motion=4, object_motion=4, acceleration=1)
    textures = [torch.rand(3, 128, 160, generator=torch.Generator().manual_seed(i)) for i in (0, 1)]
    dataset = SimulatedTrainingSet(textures, scene, settings)
    forwards = [dataset[number] for number in range(6)]
    backwards = [dataset[number] for number in reversed(range(6))][::-1]
    for first, second in zip(forwards, backwards, strict=True):
        assert torch.equal(first.pair, second.pair)
    seeds = []
    dataset._scene._latest = None
    for number in range(6):
        _ = dataset[number]
        seeds += dataset._scene._latest[0]
    assert seeds == [0, 0, 0, 1, 1, 1]


def test_several_crops_of_a_capture_read_it_once():
    captures = KnownCaptures(3)
    dataset = folder_set(captures, patch_size=8, crops_per_scene=4)
    samples = [dataset[number] for number in range(12)]
    order = [index for index, _ in captures.loaded]
    assert sorted(order) == [0, 1, 2]
    assert not same(samples[0], samples[1])
    again = folder_set(KnownCaptures(3), patch_size=8, crops_per_scene=4)
    assert same(samples[5], again[5])


def test_crops_stay_in_the_sensor_rows_asked_for():
    settings = TrainingSetSettings(patch_size=32, augment=False, sensor_rows=(0.25, 0.75))
    scene = SceneSettings(height=128, width=96, camera_motion=4, object_motion=4, acceleration=1)
    dataset = SimulatedTrainingSet([torch.rand(3, 160, 160)], scene, settings)
    times = torch.stack([dataset[number].scan_time for number in range(40)])
    assert float(times.min()) >= 32 / 127 - 1e-6
    assert float(times.max()) <= 95 / 127 + 1e-6
    assert float(times[:, 0].max() - times[:, 0].min()) > 0.15


def test_a_patch_larger_than_the_sensor_rows_is_refused():
    settings = TrainingSetSettings(patch_size=64, sensor_rows=(0.0, 0.3))
    scene = SceneSettings(height=128, width=96)
    with pytest.raises(InputError, match="patch_size 64x64 is larger than the image, 38x96"):
        SimulatedTrainingSet([torch.rand(3, 160, 160)], scene, settings)
