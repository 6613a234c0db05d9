"""A small simulated scene with an object, for tests of what starts from classical motion."""

from data.capture import CapturePair
from data.simulator.drawing import draw_scene
from data.simulator.settings import SceneSettings
from data.simulator.textures import load_textures

TIMES = (0.0, 0.25, 1.0)
"""Instants of its true frames."""


def simulate_small_scene() -> CapturePair:
    """A capture of 160x128 pixels, with exact flows."""
    settings = SceneSettings(
        height=128, width=160, camera_motion=16, object_motion=10, acceleration=2, max_objects=1
    )
    return draw_scene(load_textures(None), settings, 3).capture(TIMES, with_flows=True)
