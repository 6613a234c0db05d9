"""The check of results: sharpness and double edges of frames against both views."""

from collections.abc import Sequence

from torch import Tensor

from data.capture import CapturePair
from data.files.images import to_uint8
from utils.metrics import METRICS
from utils.quality.views import BroughtViews


def check_results(capture: CapturePair, frames: Tensor, times: Sequence[float]) -> str:
    """Figures of the first, the middle and the last frame in time, a line each.

    Args:
        capture: what was corrected.
        frames: (T, 3, H, W) RGB in [0, 1], as the sensors stand.
        times: their instants.
    """
    views = BroughtViews(capture.pair.cpu(), capture.scan_time)
    order = sorted(range(len(times)), key=lambda index: times[index])
    middle = min(order, key=lambda index: abs(times[index] - 0.5))
    chosen = sorted({order[0], middle, order[-1]}, key=lambda index: times[index])
    lines = [f"{capture.name}: check of results, against both views brought to the instant"]
    for index in chosen:
        brought, frame = views.at(times[index]), to_uint8(frames[index])
        figures = (
            f"{metric.label} {metric.format(metric.measure(frame, brought, 0))}"
            for metric in METRICS.values()
            if metric.needs == "views" and metric.measure is not None
        )
        lines.append(f"  t {times[index]:<8.3f} {', '.join(figures)}")
    return "\n".join(lines)
