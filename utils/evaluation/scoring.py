"""Scoring in the background, while the next frames are made."""

import os
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import TracebackType

from data.capture import CapturePair
from data.files.images import Image
from utils.evaluation.scores import FrameScore, score_frame
from utils.metrics import Metric
from utils.quality.views import BroughtViews, ViewsAtInstant

_MAX_WAITING = 2  # captures whose frames wait for their scores, in memory


class BackgroundScores(AbstractContextManager["BackgroundScores"]):
    """Scores of frames, computed by as many threads as there are cores.

    Threads, not processes: OpenCV, NumPy and PyTorch leave the interpreter free while they compute,
    and images need not be copied. Scores are the same as without threads, in the order of `add`.
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        """Start the threads; `metrics` as `utils.evaluation.scores.open_metrics` gives them."""
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(os.cpu_count())
        self._waiting: deque[list[Future[FrameScore]]] = deque()
        self._views: Future[dict[float, ViewsAtInstant]] | None = None
        self._scores: list[FrameScore] = []

    def start_capture(self, capture: CapturePair, times: Sequence[float]) -> None:
        """Begin with the frames of a capture at `times`; wait while too many others are unscored.

        Raises:
            InputError: an earlier frame could not be scored.
        """
        while len(self._waiting) >= _MAX_WAITING:
            self._scores += [score.result() for score in self._waiting.popleft()]
        self._waiting.append([])
        needed = any(metric.needs == "views" for metric in self._metrics.values())
        self._views = self._pool.submit(_bring, capture, times) if needed else None

    def add(self, place: FrameScore, image: Image, truth: Image, border: int) -> None:
        """Score a frame of the capture last begun.

        Args:
            place: its score without values; `time` is one of the capture's instants.
            image: (H, W, 3) uint8.
            truth: of the same size.
            border: pixels left out on each side.
        """
        # Threads take their work in order: by then another one has begun with the views.
        found = self._pool.submit(self._score, place, image, truth, border, self._views)
        self._waiting[-1].append(found)

    def finish(self) -> list[FrameScore]:
        """Wait for all scores.

        Raises:
            InputError: a frame could not be scored.
        """
        while self._waiting:
            self._scores += [score.result() for score in self._waiting.popleft()]
        return self._scores

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop what was not begun, and end the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _score(
        self,
        place: FrameScore,
        image: Image,
        truth: Image,
        border: int,
        views: Future[dict[float, ViewsAtInstant]] | None,
    ) -> FrameScore:
        here = None if views is None else views.result()[place.time]
        values, bands = score_frame(image, truth, border, views=here, metrics=self._metrics)
        return place._replace(values=values, bands=bands)


def _bring(capture: CapturePair, times: Sequence[float]) -> dict[float, ViewsAtInstant]:
    """The capture's views by instant."""
    views = BroughtViews(capture.pair.cpu(), capture.scan_time)
    return {t: views.at(t) for t in times}
