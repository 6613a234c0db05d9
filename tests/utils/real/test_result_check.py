import numpy as np
import torch

from data.capture import CapturePair
from data.time_maps import scan_time
from tests.helpers.moving_texture import Pan
from utils.real.result_check import check_results


def test_the_first_middle_and_last_frame_are_measured_in_order_of_time() -> None:
    pan = Pan((10, 4), (64, 80))
    t2b, b2t = pan.pair()
    capture = CapturePair(t2b=t2b, b2t=b2t, name="walk/0", scan_time=scan_time(64))
    times = (1.0, 0.4, 0.0, 0.8)
    frames = torch.from_numpy(np.stack([pan.frame(t) for t in times])).permute(0, 3, 1, 2)
    frames[0] = frames[0].mean((1, 2), keepdim=True)  # nothing left of the frame at t = 1
    title, *lines = check_results(capture, frames, times).splitlines()
    assert title == "walk/0: check of results, against both views brought to the instant"
    assert [line.split(" sharpness")[0].split() for line in lines] == [
        ["t", "0.000"],
        ["t", "0.400"],
        ["t", "1.000"],
    ]
    sharpness = [float(line.split("sharpness ")[1].split(",")[0]) for line in lines]
    assert min(sharpness[:2]) > 0.9 and sharpness[2] == 0
    assert all("worst sharpness" in line and "double edges" in line for line in lines)
