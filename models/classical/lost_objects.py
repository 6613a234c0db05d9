"""Motion of objects that optical flow lost: too fast for it, or small against what lies behind.

Where warped views do not match, features are matched instead; matches that move together as a
similarity do are one object. It keeps its motion wherever that makes both views agree.

Arrays are NumPy float32, vectors (dx, dy) last, in pixels per readout.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from models.classical.field import (
    CELL,
    MotionField,
    cell_centres,
    length_of,
    sample_cells,
    sample_frame,
)
from models.measurement.flow_measurement import Measurement

Array = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Luma = npt.NDArray[np.uint8]

# Where flow explains nothing:
_WINDOW = 15  # px over which the difference of the warped views is averaged
_UNMATCHED = 6.0  # grey levels of it, and
_DOUBTED = 0.3  # confidence of flow below which
_SPECK = 7  # px: smaller places are passed over
_MARGIN = 15  # px around the others in which features are searched
# Features:
_FEATURES = 1500  # of a view at most
_CONTRAST = 0.02  # SIFT's threshold: half of its default, for dark objects
_DISTINCT = 0.8  # Lowe's ratio: a match must be so much nearer than the second best
_SEARCHED = 1920 * 1088  # pixels that features are searched in; larger views are halved
_KNOWN = 4.0  # px of flow within which a match tells nothing new
_LEAST_GAP = 0.1  # readouts over which a match moves
# Objects:
_TOLERANCE = 8.0  # px per readout by which a match may leave the similarity
_LEAST_MATCHES = 5  # of an object; any two fit a similarity
_MOST_OBJECTS = 6
_RADIUS = 220.0  # px from an object's middle to its matches
_REACH = 80  # px beyond its matches where it may show
_MOST_TURN = 1.5  # radians, or doublings, per readout
# Where an object is taken to be:
_CELL_WINDOW = 5  # cells over which disagreement is averaged
_CLEARLY = 0.7  # share of the disagreement of all that is known, and
_LEAST_GAIN = 1.0  # grey levels less, below which its motion is better
_WORST = 60.0  # grey levels: larger differences count as much, and nothing seen as twice that


class _Matches(NamedTuple):
    """Matched features: place (N, 2) at t = 1/2 in px, and velocity (N, 2)."""

    place: Array
    velocity: Array


def find_lost_objects(
    matched: tuple[Array, Array], cells: tuple[Array, Array], field: MotionField
) -> tuple[Array, Bools]:
    """Velocities of objects that a motion field missed.

    Args:
        matched: pixels (N, 2) in t2b and in b2t as of `match_features`.
        cells: both views in colour, reduced to cells, (h, w, 3) in [0, 1] each.
        field: motion known so far.

    Returns:
        (h, w, 2) velocities, and (h, w) in which cells at t = 1/2 they are to replace the field's.
    """
    known = (_disagreement(field, velocity, cells) for velocity in (field.velocity, field.camera))
    least = np.minimum(*known) * _CLEARLY - _LEAST_GAIN
    velocity, found = np.zeros_like(field.velocity), np.zeros(least.shape, bool)
    for matches in _by_object(_unexplained(matched, field)):
        candidate = _similarity_velocity(matches, least.shape)
        disagreement = _disagreement(field, candidate, cells)
        better = (disagreement < least) & _neighbourhood(matches, least.shape)
        least = np.where(better, disagreement, least)
        velocity[better] = candidate[better]
        found |= better
    return velocity, found


def match_features(
    views: tuple[Luma, Luma], measurements: Sequence[Measurement], brighter: Sequence[Array]
) -> tuple[Array, Array]:
    """Pixels (N, 2) in t2b and in b2t of features that match, where flow does not.

    Args:
        views: t2b and b2t, luma (H, W) each.
        measurements: of both, parallax included.
        brighter: of both, (H, W) grey levels as of `compare_along_flow`.
    """

    def describe(view: int) -> tuple[Sequence[cv2.KeyPoint], Array | None]:
        unmatched = _unmatched(brighter[view], measurements[view])
        if not unmatched.any():
            return (), None  # the search would build its pyramids all the same
        searcher = cv2.SIFT.create(_FEATURES, contrastThreshold=_CONTRAST)
        features, looks = searcher.detectAndCompute(
            _shrink(views[view], shrink), _shrink(unmatched, shrink)
        )
        # OpenCV's stubs forget that there are no descriptions where there are no features.
        return features, np.asarray(looks, np.float32) if features else None

    shrink = 1
    while views[0].size > _SEARCHED * shrink**2:
        shrink *= 2
    with ThreadPoolExecutor(2) as pool:
        (first, first_looks), (second, second_looks) = pool.map(describe, (0, 1))
    places: tuple[list[Sequence[float]], list[Sequence[float]]] = ([], [])
    if first_looks is not None and second_looks is not None:
        for nearest in cv2.BFMatcher(cv2.NORM_L2).knnMatch(first_looks, second_looks, k=2):
            if len(nearest) == 2 and nearest[0].distance < _DISTINCT * nearest[1].distance:
                places[0].append(first[nearest[0].queryIdx].pt)
                places[1].append(second[nearest[0].trainIdx].pt)
    t2b, b2t = (
        shrink * np.array(found, np.float32).reshape(-1, 2) + np.float32((shrink - 1) / 2)
        for found in places
    )
    return t2b, b2t


def _shrink(image: Luma, factor: int) -> Luma:
    """Means over squares of `factor` pixels a side."""
    if factor == 1:
        return image
    size = (image.shape[1] // factor, image.shape[0] // factor)
    covered = image[: size[1] * factor, : size[0] * factor]
    return cv2.resize(covered, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def _unmatched(brighter: Array, measurement: Measurement) -> Luma:
    """Mask (H, W) of where flow explains nothing, with a margin: 1, else 0."""
    difference = np.minimum(np.abs(brighter), _WORST)
    blurred = cv2.boxFilter(difference, -1, (_WINDOW, _WINDOW))
    lost = ((blurred > _UNMATCHED) | (measurement.confidence < _DOUBTED)).astype(np.uint8)
    specks_gone = cv2.morphologyEx(lost, cv2.MORPH_OPEN, np.ones((_SPECK, _SPECK), np.uint8))
    return cv2.dilate(specks_gone, np.ones((2 * _MARGIN + 1,) * 2, np.uint8)).astype(np.uint8)


def _unexplained(matched: tuple[Array, Array], field: MotionField) -> _Matches:
    """The matches that move otherwise than the field says."""
    t2b, b2t = matched
    own = field.scan.at(t2b[:, 1])
    gap = field.scan.reversed.at(b2t[:, 1]) - own
    between = field.parallax.at(t2b[:, 0])
    moved, seen = b2t - t2b - between, t2b + between / 2  # by a camera between both
    usable = np.abs(gap) > _LEAST_GAP
    velocity = np.asarray(moved[usable] / gap[usable, None], np.float32)
    place = np.asarray(seen[usable] + velocity * (0.5 - own[usable, None]), np.float32)
    if not usable.any():
        return _Matches(place, velocity)
    known = sample_cells(field.velocity, (place[:, :1].copy(), place[:, 1:].copy()))[:, 0]
    new = length_of(velocity - known) * np.abs(gap[usable]) > _KNOWN
    return _Matches(place[new], velocity[new])


def _by_object(matches: _Matches) -> Iterator[_Matches]:
    """Sets of neighbouring matches that share the velocity field of a similarity."""
    for _ in range(_MOST_OBJECTS):
        if len(matches.place) < _LEAST_MATCHES:
            return
        similarity, inlier = cv2.estimateAffinePartial2D(
            matches.place,
            matches.place + matches.velocity,
            method=cv2.RANSAC,
            ransacReprojThreshold=_TOLERANCE,
        )
        if similarity is None:
            return
        agreeing = inlier.ravel().astype(bool)
        middle = np.median(matches.place[agreeing], axis=0)
        near = agreeing & (np.linalg.norm(matches.place - middle, axis=1) < _RADIUS)
        turn = float(np.hypot(similarity[0, 0] - 1, similarity[1, 0]))
        if np.count_nonzero(near) >= _LEAST_MATCHES and turn < _MOST_TURN:
            yield _Matches(matches.place[near], matches.velocity[near])
        matches = _Matches(matches.place[~agreeing], matches.velocity[~agreeing])


def _similarity_velocity(matches: _Matches, size: tuple[int, ...]) -> Array:
    """Velocities (h, w, 2) everywhere of the similarity that fits an object's matches."""
    place, velocity = matches
    middle = place.mean(axis=0)
    x, y = (place - middle).T
    one, none = np.ones_like(x), np.zeros_like(x)
    terms = np.concatenate((np.stack((one, none, x, -y), 1), np.stack((none, one, y, x), 1)))
    shift_x, shift_y, growth, turn = np.linalg.lstsq(terms, velocity.T.ravel())[0]
    x, y = cell_centres(*size)
    x, y = x - middle[0], y - middle[1]
    along = shift_x + growth * x - turn * y, shift_y + growth * y + turn * x
    return np.stack(along, axis=-1).astype(np.float32)


def _neighbourhood(matches: _Matches, size: tuple[int, ...]) -> Bools:
    """In which cells (h, w) an object may show: around and between its matches."""
    hull = cv2.convexHull((matches.place / CELL).astype(np.int32))
    inside = cv2.fillConvexPoly(np.zeros(size, np.uint8), hull, 1)
    side = 2 * (_REACH // CELL) + 1
    return cv2.dilate(inside, np.ones((side, side), np.uint8)) > 0


def _disagreement(field: MotionField, velocity: Array, cells: tuple[Array, Array]) -> Array:
    """Grey levels (h, w) by which the views, brought to t = 1/2, differ around each cell."""
    height, width = field.measurements[0].own.shape
    brought, hidden = [], np.zeros(velocity.shape[:2], bool)
    for view, image in zip(
        sample_frame(field, 0.5, velocity, with_mismatch=False), cells, strict=True
    ):
        brought.append(sample_cells(image, (view.x, view.y)))
        hidden |= (view.x < 0) | (view.x > width - 1) | (view.y < 0) | (view.y > height - 1)
    difference = 255 * np.abs(brought[0] - brought[1]).mean(-1)
    difference = np.minimum(difference, _WORST)
    difference[hidden] = 2 * _WORST
    blurred = cv2.boxFilter(difference, -1, (_CELL_WINDOW, _CELL_WINDOW))
    return np.asarray(blurred, dtype=np.float32)
