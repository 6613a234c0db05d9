from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from data.rs_gopro import RSGOPRO
from models.ifed import IFED
from models.inference.correction import BASELINES, CLASSICAL, correct, correct_classically
from tests.helpers.capture_folders import write_pixels, write_rs_gopro
from utils.errors import InputError
from utils.evaluation.methods import (
    check_ready_frames,
    choose_methods,
    common_instants,
    describe_methods,
    load_methods,
    make_frames,
    methods_of_set,
)
from utils.evaluation.saving import ReadyFrames
from utils.options.evaluation import EvaluationOptions
from utils.system.distributed import Processes

ALONE = Processes(torch.device("cpu"))
TIMES = (0.0, 0.5, 1.0)
SIZE = (12, 14)


def benchmark(root: Path, **layout: Any) -> RSGOPRO:
    write_rs_gopro(root, split="test", **({"size": SIZE, "pairs": 2} | layout))
    return RSGOPRO(root, "test")


def released_frames(root: Path, *, pairs: int = 2, frames: int = 3) -> ReadyFrames:
    for pair in range(pairs):
        for frame in range(frames):
            write_pixels(root / "ready" / "seq" / f"{pair:08d}_gs_{frame:03d}.png", SIZE)
    return ReadyFrames("theirs", root / "ready", "released")


def check(captures: RSGOPRO, ready: ReadyFrames, processes: Processes = ALONE) -> None:
    check_ready_frames(captures, {"theirs": ready}, TIMES, processes)


def test_ready_frames_are_read_in_order(tmp_path: Path) -> None:
    captures, ready = benchmark(tmp_path), released_frames(tmp_path)
    check(captures, ready)
    frames = make_frames(ready, captures[1], TIMES).frames
    # Named like the true frames, they show the same pixels.
    assert captures[1].truth is not None
    torch.testing.assert_close(frames, captures[1].truth, rtol=0, atol=0)


def test_missing_frames_are_listed_and_counted(tmp_path: Path) -> None:
    captures, ready = benchmark(tmp_path), released_frames(tmp_path)
    for name in ("00000000_gs_001", "00000001_gs_000", "00000001_gs_001", "00000001_gs_002"):
        (tmp_path / "ready/seq" / f"{name}.png").unlink()
    with pytest.raises(InputError) as error:
        check(captures, ready)
    assert str(error.value) == (
        f"'theirs': 4 of 6 frames are missing in {tmp_path}/ready: seq/00000000_gs_001.png, "
        "seq/00000001_gs_000.png, seq/00000001_gs_001.png and 1 more; nothing was scored"
    )


def test_names_that_do_not_fit_show_what_is_there(tmp_path: Path) -> None:
    captures = benchmark(tmp_path)
    released_frames(tmp_path)
    ready = ReadyFrames("theirs", tmp_path / "ready", "ours")
    expected = "6 of 6 .* it holds seq/00000000_gs_000.png or the like, pattern is 'ours'"
    with pytest.raises(InputError, match=expected):
        check(captures, ready)
    with pytest.raises(InputError, match="'theirs': .*gone: no such folder of frames"):
        check(captures, ReadyFrames("theirs", tmp_path / "gone", "ours"))


def test_more_frames_than_true_ones_are_refused(tmp_path: Path) -> None:
    captures, ready = benchmark(tmp_path), released_frames(tmp_path, frames=5)
    with pytest.raises(InputError, match=r"00000000_gs_003.png: more frames than the 3 true ones"):
        check(captures, ready)


def test_two_frames_of_one_name_are_refused(tmp_path: Path) -> None:
    captures = benchmark(tmp_path)
    released_frames(tmp_path)
    ready = ReadyFrames("theirs", tmp_path / "ready", "seq/00000000_gs_{frame:03d}.png")
    with pytest.raises(InputError, match="gives seq/00000000 frame 0 and seq/00000001 frame 0 one"):
        check(captures, ready)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: write_pixels(path, (12, 10)), "expected 14x12 pixels .* got 10x12"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "damaged, truncated or not an"),
    ],
)
def test_every_process_finds_images_that_do_not_fit(
    tmp_path: Path, damage: Any, message: str
) -> None:
    class OneOfTwo(Processes):
        found: list[Any] = []

        def gather(self, item: Any) -> Any:
            self.found.append(item)
            return self.found

    captures, ready = benchmark(tmp_path), released_frames(tmp_path)
    damage(tmp_path / "ready/seq/00000001_gs_002.png")
    with pytest.raises(InputError, match=f"{message}.*; nothing was scored"):
        check(captures, ready)
    for rank in (1, 0):  # the second process reads it
        with pytest.raises(InputError, match=message):
            check(captures, ready, OneOfTwo(ALONE.device, rank, 2))


def test_ready_frames_need_truth(tmp_path: Path) -> None:
    captures, ready = benchmark(tmp_path, frames=0), released_frames(tmp_path)
    with pytest.raises(InputError, match="'theirs': ready frames cannot be scored: seq/00000000"):
        check(captures, ready)


def test_a_number_in_the_pattern_needs_a_numbered_pair() -> None:
    ready = ReadyFrames("theirs", Path("a"), "{pair:04d}_{frame}.png")
    assert ready.path("seq/00000012", 3, 0.5) == Path("a/0012_3.png")
    with pytest.raises(InputError, match="asks for the pair's number, but the pair is named 's/x'"):
        ready.path("s/x", 0, 0.0)


def test_frames_of_other_bit_depths_are_read_as_images(tmp_path: Path) -> None:
    captures, ready = benchmark(tmp_path, pairs=1), released_frames(tmp_path, pairs=1)
    path = ready.path("seq/00000000", 0, 0.0)
    levels = np.full((*SIZE, 3), 40_000, np.uint16)
    assert cv2.imwrite(str(path), levels)
    frames = ready.read(captures[0], TIMES)
    assert float(frames[0, 0, 0, 0]) == pytest.approx(40_000 / 65_535)


def options(**changes: Any) -> EvaluationOptions:
    given = {
        "task": "test",
        "path": {"pretrained_netG": "unused"},
        "datasets": {"test": {"data_root": "unused"}},
    }
    return EvaluationOptions.model_validate(given | changes)


def test_methods_are_loaded_by_label_and_find_their_set() -> None:
    several = options(
        methods=(
            {"name": "a", "method": "classical"},
            {"name": "b", "frames_folder": "out/{set}/frames", "pattern": "released"},
        )
    )
    loaded = load_methods(several, ALONE.device)
    assert loaded["a"] is correct_classically
    of_set = methods_of_set(loaded, "gopro")
    assert of_set["a"] is correct_classically
    ready = of_set["b"]
    assert isinstance(ready, ReadyFrames)
    assert ready.path("s/1", 0, 0.0) == Path("out/gopro/frames/s/1_gs_000.png")
    assert describe_methods(several, ["a", "b", "mean of both"]) == {
        "a": {
            "method": "classical",
            "context": "pair",
            "blending": "choose",
            "self_ensemble": False,
        },
        "b": {"frames_folder": "out/{set}/frames", "pattern": "released"},
        "mean of both": {"baseline": True},
    }


def test_a_baseline_under_test_is_scored_once_and_keeps_its_name_to_itself() -> None:
    assert list(choose_methods({"mine": correct_classically})) == ["mine", *list(BASELINES)[1:]]
    assert list(choose_methods({"mine": correct_classically}, with_baselines=False)) == ["mine"]
    with pytest.raises(InputError, match="'mean of both' is the name of a baseline; choose"):
        choose_methods({"mean of both": correct_classically})
    chosen = choose_methods({"mine": correct_classically}, blending="average")
    assert list(chosen) == ["mine", *BASELINES]
    assert chosen["classical"] is CLASSICAL["average"]
    assert list(choose_methods({"mine": CLASSICAL["average"]}, blending="average")) == [
        "mine",
        *list(BASELINES)[1:],
    ]


def test_methods_make_frames_together_at_the_instants_of_all_their_networks() -> None:
    one, three, five = (partial(correct, IFED(count, n_feats=8, width=0.05)) for count in (1, 3, 5))
    ready = ReadyFrames("theirs", Path("a"), "released")
    assert common_instants({"any": correct_classically, "theirs": ready}) is None
    assert common_instants({"any": correct_classically, "five": five, "three": three}) == (
        0,
        0.5,
        1,
    )

    class Ends(IFED):
        instants = (0.0, 1.0)

    ends = partial(correct, Ends(3, n_feats=8, width=0.05))
    with pytest.raises(InputError) as error:
        common_instants({"one": one, "ends": ends})
    assert str(error.value) == (
        "methods: no instant is common to all: 'one' at t = 0.5, 'ends' at t = 0, 1; "
        "test them apart"
    )


def test_of_ready_frames_only_those_that_are_scored_are_needed(tmp_path: Path) -> None:
    captures, ready = benchmark(tmp_path), released_frames(tmp_path)
    for pair in (0, 1):
        (tmp_path / f"ready/seq/{pair:08d}_gs_001.png").unlink()
    of_set = methods_of_set({"theirs": ready}, "", (0, 2))
    check_ready_frames(captures, of_set, (0.0, 1.0), ALONE)
    frames = make_frames(of_set["theirs"], captures[1], (0.0, 1.0)).frames
    truth = captures[1].truth
    assert truth is not None
    torch.testing.assert_close(frames, truth[[0, 2]], rtol=0, atol=0)
    (tmp_path / "ready/seq/00000001_gs_002.png").unlink()
    with pytest.raises(InputError, match="1 of 4 frames are missing in .*: seq/00000001_gs_002"):
        check_ready_frames(captures, of_set, (0.0, 1.0), ALONE)
