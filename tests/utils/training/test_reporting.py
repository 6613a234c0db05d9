"""What a run records, and that resuming leaves no step twice."""

import json
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from utils.errors import InputError
from utils.training.curves import plot_curves
from utils.training.reporting import Recorder, read_records


def test_records_are_one_json_object_per_line(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 0)
    recorder.write(5, {"total": 0.5, "skipped": 0})
    recorder.write(10, {"total": float("inf"), "skipped": 1})
    recorder.close()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 5, "total": 0.5, "skipped": 0},
        {"step": 10, "total": None, "skipped": 1},
    ]


def test_resuming_drops_what_will_be_written_again(tmp_path: Path) -> None:
    for first, steps in ((0, range(1, 8)), (4, range(5, 7))):
        recorder = Recorder(tmp_path, first)
        for step in steps:
            recorder.write(step, {"total": first + step})
        recorder.close()
    records = read_records(tmp_path / "metrics.jsonl")
    assert [record["step"] for record in records] == [1, 2, 3, 4, 5, 6]
    assert [record["total"] for record in records] == [1, 2, 3, 4, 9, 10]


def test_a_line_cut_short_by_a_kill_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "total": 2}\n{"step": 2, "to')
    Recorder(tmp_path, 5).close()
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "total": 2}\n'


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"",
        b"\0\0\0",
        b"\xff\xfe",
        b"[1]",
        b'{"total": 1}',
        b'{"step": "7"}',
        b'{"step": 1, "a": {}}',
        b"[" * 100_000,
    ],
    ids=lambda line: str(line[:20]),
)
def test_lines_without_a_record_are_dropped_and_said(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    one, two = b'{"step": 1, "total": 2}\n', b'{"step": 2, "total": null}\n'
    path.write_bytes(one + line + b"\n" + two + b'{"step": 3')
    assert [record["step"] for record in read_records(path)] == [1, 2]
    recorder = Recorder(tmp_path, 5)
    recorder.close()
    assert recorder.note == f"{path}: 2 lines hold no record and are dropped (line 2, 4)"
    assert path.read_bytes() == one + two


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 0)
    recorder.path.unlink()
    recorder.path.symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"metrics\.jsonl: cannot write there: No space left"):
        recorder.write(1, {"total": 1.0})
    recorder.close()


def test_tensorboard_gets_scalars_and_images(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 0)
    recorder.write(3, {"total": 0.25})
    recorder.show(3, "strip", torch.full((3, 4, 8), 0.5))
    recorder.close()
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    (scalar,) = board.Scalars("total")
    assert (scalar.step, scalar.value) == (3, 0.25)
    (image,) = board.Images("strip")
    assert (image.height, image.width) == (4, 8)


def test_curves_have_a_panel_for_each_quantity(tmp_path: Path) -> None:
    one = [{"step": 1, "total": 1.0, "samples_per_second": 2.0}]
    two = [*one, {"step": 2, "total": None}, {"step": 2, "valid_psnr": 30.0}]
    heights = []
    for records in (one, two, []):
        plot_curves(records, tmp_path / "curves.png")
        header = (tmp_path / "curves.png").read_bytes()[:24]
        heights.append(int.from_bytes(header[20:24], "big"))
    assert heights[1] == 2 * heights[0]
    assert heights[2] == heights[0]
