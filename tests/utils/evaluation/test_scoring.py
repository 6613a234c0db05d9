import math

import numpy as np
import pytest
import torch

from data.capture import CapturePair
from data.files.images import to_uint8
from data.time_maps import scan_time
from tests.helpers.moving_texture import Pan
from utils.errors import InputError
from utils.evaluation.report import format_tables
from utils.evaluation.scores import FrameScore, open_metrics, score_frame
from utils.evaluation.scoring import BackgroundScores
from utils.quality.views import BroughtViews

TIMES = (0.0, 1.0)


def capture(name: str) -> CapturePair:
    pan = Pan((8, 3), (40, 48))
    t2b, b2t = pan.pair()
    truth = torch.from_numpy(np.stack([pan.frame(t) for t in TIMES])).permute(0, 3, 1, 2)
    times = torch.tensor(TIMES)
    return CapturePair(t2b, b2t, scan_time(40), name=name, truth=truth, truth_times=times)


def test_scores_are_those_of_each_frame_in_order() -> None:
    metrics = open_metrics((), "cpu")
    captures = [capture(f"a/{number}") for number in range(4)]
    with BackgroundScores(metrics) as scoring:
        for number, one in enumerate(captures):
            scoring.start_capture(one, TIMES)
            for frame, time in enumerate(TIMES):
                assert one.truth is not None
                place = FrameScore("full", "net", one.name, frame, time, {})
                image = to_uint8(one.truth[frame] * (1 - number / 10))
                scoring.add(place, image, to_uint8(one.truth[frame]), 2)
        scores = scoring.finish()
    assert [(score.pair, score.frame) for score in scores] == [
        (one.name, frame) for one in captures for frame in (0, 1)
    ]
    last = captures[3]
    assert last.truth is not None
    views = BroughtViews(last.pair, last.scan_time).at(1.0)
    dark, truth = to_uint8(last.truth[1] * (1 - 3 / 10)), to_uint8(last.truth[1])
    assert scores[-1].values == score_frame(dark, truth, 2, views=views)[0]
    assert {"sharpness", "worst_sharpness", "double_edges"} < set(scores[-1].values)
    assert "| net    | sharpness " in format_tables(scores, {})


def test_errors_of_the_threads_are_raised() -> None:
    one = capture("a/0")
    small = np.zeros((8, 8, 3), np.uint8)
    with BackgroundScores(open_metrics((), "cpu")) as scoring:
        scoring.start_capture(one, TIMES)
        scoring.add(FrameScore("full", "net", "a/0", 0, 0.0, {}), small, small, 0)
        with pytest.raises(InputError, match="images of 8x8 are too small"):
            scoring.finish()


def test_without_views_their_measures_are_left_out_and_undefined_ones_are_dashes() -> None:
    flat = np.full((40, 48, 3), 90, np.uint8)
    assert "sharpness" not in score_frame(flat, flat)[0]
    values = {"psnr": 30.0, "ssim": 0.5, "sharpness": math.nan}
    tables = format_tables([FrameScore("full", "net", "a/0", 0, 0.0, values)], {})
    assert "| net    | sharpness | –" in tables
