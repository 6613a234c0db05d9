import pytest

from tests.helpers.clips import real_options
from utils.errors import InputError
from utils.real.clip_speed import settle_video

MIDDLES_OF_FOUR = (0.125, 0.375, 0.625, 0.875)


@pytest.mark.parametrize(
    ("given", "times", "fps"),
    [
        ({}, (0.5,), 25),
        ({"frames": 1}, (0.5,), None),
        ({"frames": 3}, (0, 0.5, 1), None),  # the rate follows from two frames per pair
        ({"times": (0.25, 0.75)}, (0.25, 0.75), None),
        ({"fps": 100}, MIDDLES_OF_FOUR, 100),
        ({"speed": 0.25}, MIDDLES_OF_FOUR, 25),
        ({"speed": 0.5, "fps": 50}, MIDDLES_OF_FOUR, 50),
        ({"speed": 2, "fps": 50}, (0.5,), 50),
        ({"speed": 0.5, "frames": 3}, (0, 0.5, 1), 25),
        ({"speed": 0.5, "frames": 1, "fps": 12.5}, (0.5,), 12.5),
        ({"fps": 7, "frames": 3}, (0, 0.5, 1), 7),
    ],
)
def test_rate_is_source_rate_times_frames_times_speed(
    given: dict[str, object], times: tuple[float, ...], fps: float | None
) -> None:
    settled = settle_video(real_options(**given), 25)
    assert settled.instants == times and settled.fps == fps


def test_images_state_no_rate() -> None:
    settled = settle_video(real_options(fps=12), None)
    assert settled.instants == (0.5,) and settled.fps == 12
    with pytest.raises(InputError, match="speed: the images state no rate to compare with"):
        settle_video(real_options(speed=0.5), None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fps": 30}, r"30 frames per second at 1 times the speed has 1.2 .* 25 .* give --fps 25,"),
        ({"fps": 10}, r"has 0.4 frames for each .* give --fps 25,"),
        ({"speed": 0.3}, r"25 frames per second at 0.3 times the speed has 3.333 .* --fps 22.5,"),
        ({"speed": 1e-4, "fps": 100}, "from 1 to 10000: give --fps 25,"),
        ({"speed": 0.5, "frames": 3, "fps": 30}, "2 frames per pair at 0.5 .* need --fps 25, got"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        settle_video(real_options(**given), 25)
