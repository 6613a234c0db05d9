"""Motion of objects that optical flow misses: too fast for it, or small against their background.

Where the warped views differ, SIFT features are matched instead. Sequential RANSAC groups matches
that move by one similarity into objects. An object's motion is used wherever it makes the views
agree better. Velocities are in pixels per readout.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np

from models.classical.field import (
    CELL,
    MotionField,
    cell_centres,
    length_of,
    sample_cells,
    warp_to_middle,
)
from models.measurement.arrays import Array, Bools, Luma, library
from models.measurement.flow_measurement import Measurement
from models.measurement.sampling import box_mean, dilate

# Where flow fails:
_WINDOW = 15  # px over which the difference of the warped views is averaged
_MIN_DIFFERENCE = 6.0  # grey levels, or
_MAX_CONFIDENCE = 0.3  # of flow
_SPECK = 7  # px: smaller regions are ignored
_MARGIN = 15  # px around the others in which features are searched
# Features:
_MAX_FEATURES = 1500  # of a view
_CONTRAST = 0.02  # SIFT's threshold: half of its default, for dark objects
_MAX_RATIO = 0.8  # Lowe's ratio test: distance of the best match over that of the second best
_MAX_PIXELS = 1920 * 1088  # of a view that SIFT searches; larger views are halved
_MIN_NOVELTY = 4.0  # px between a match and the known motion
_MIN_GAP = 0.1  # readouts between the exposures of a match
# Objects:
_INLIER_DISTANCE = 8.0  # px per readout between a match and the similarity, for RANSAC
_MIN_MATCHES = 5  # of an object; any two fit a similarity
_MAX_OBJECTS = 6
_RADIUS = 220.0  # px from an object's middle to its matches
_REACH = 80  # px beyond its matches where it may show
_MAX_TURN = 1.5  # radians, or doublings, per readout
# Cells of an object:
_CELL_WINDOW = 5  # cells over which the views' difference is averaged
_MAX_SHARE = 0.7  # of the difference under known motions that an object's motion may leave, less
_MIN_GAIN = 1.0  # grey levels
_MAX_DIFFERENCE = 60.0  # grey levels; twice that outside the views


class _Matches(NamedTuple):
    """Matched features: place (N, 2) at t = 1/2 in px, and velocity (N, 2)."""

    place: Array
    velocity: Array


def find_lost_objects(
    matched: tuple[Array, Array], cells: tuple[Array, Array], field: MotionField
) -> tuple[Array, Bools]:
    """Velocities of objects that a motion field misses.

    Args:
        matched: pixels (N, 2) in t2b and in b2t, as `match_features` returns them.
        cells: both views in colour, reduced to cells, (h, w, 3) in [0, 1] each.
        field: motion known so far.

    Returns:
        (h, w, 2) velocities, and (h, w) the cells at t = 1/2 in which they replace the field's.
    """
    return accept_objects(propose_objects(matched, field), cells, field)


def propose_objects(
    matched: tuple[Array, Array], field: MotionField
) -> Iterator[tuple[Array, Bools]]:
    """Velocities (h, w, 2) of objects, and cells (h, w) in which each may show."""
    size = field.velocity.shape[:2]
    for matches in _group_by_object(_unexplained_matches(matched, field)):
        yield _similarity_velocity(matches, size), _neighbourhood(matches, size)


def accept_objects(
    proposed: Iterable[tuple[Array, Bools]], cells: tuple[Array, Array], field: MotionField
) -> tuple[Array, Bools]:
    """Use each proposed object where it makes the views agree better; arrays, or a batch's tensors.

    The result is that of `find_lost_objects`.
    """
    xp = library(field.velocity)
    known = (
        _view_difference(field, velocity, cells) for velocity in (field.velocity, field.camera)
    )
    lowest = xp.minimum(*known) * _MAX_SHARE - _MIN_GAIN
    velocity: Array = xp.zeros_like(field.velocity)
    found: Bools = xp.zeros_like(lowest, dtype=xp.bool)
    for candidate, around in proposed:
        difference = _view_difference(field, candidate, cells)
        better = (difference < lowest) & around
        lowest = xp.where(better, difference, lowest)
        velocity = xp.where(better[..., None], candidate, velocity)
        found = found | better
    return velocity, found


def match_features(
    views: tuple[Luma, Luma],
    measurements: Sequence[Measurement],
    brightness_differences: Sequence[Array],
) -> tuple[Array, Array]:
    """Pixels (N, 2) in t2b and in b2t of matching SIFT features where flow fails.

    The brightness differences are those of `compare_along_flow`, parallax included.
    """
    masks = map(failed_flow, brightness_differences, measurements)
    return match_features_within(views, [mask.astype(np.uint8) for mask in masks])


def match_features_within(views: Sequence[Luma], masks: Sequence[Luma]) -> tuple[Array, Array]:
    """Pixels (N, 2) in t2b and in b2t of matching SIFT features where the masks are not 0."""

    def describe(view: int) -> tuple[Sequence[cv2.KeyPoint], Array | None]:
        mask = masks[view]
        if not mask.any():
            return (), None  # SIFT would build its pyramids all the same
        sift = cv2.SIFT.create(_MAX_FEATURES, contrastThreshold=_CONTRAST)
        features, descriptors = sift.detectAndCompute(
            _shrink(views[view], shrink), _shrink(mask, shrink)
        )
        # OpenCV's stubs forget that there are no descriptors where there are no features.
        return features, np.asarray(descriptors, np.float32) if features else None

    shrink = 1
    while views[0].size > _MAX_PIXELS * shrink**2:
        shrink *= 2
    with ThreadPoolExecutor(2) as pool:
        (first, descriptors), (second, other_descriptors) = pool.map(describe, (0, 1))
    places: list[tuple[Sequence[float], Sequence[float]]] = []
    if descriptors is not None and other_descriptors is not None:
        for nearest in cv2.BFMatcher(cv2.NORM_L2).knnMatch(descriptors, other_descriptors, k=2):
            if len(nearest) == 2 and nearest[0].distance < _MAX_RATIO * nearest[1].distance:
                places.append((first[nearest[0].queryIdx].pt, second[nearest[0].trainIdx].pt))
    matched = np.array(places, np.float32).reshape(-1, 2, 2)
    t2b, b2t = (shrink * matched + np.float32((shrink - 1) / 2)).swapaxes(0, 1)
    return t2b, b2t


def _shrink(image: Luma, factor: int) -> Luma:
    """Means over squares of `factor` pixels a side."""
    size = (image.shape[1] // factor, image.shape[0] // factor)
    covered = image[: size[1] * factor, : size[0] * factor]
    return cv2.resize(covered, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def failed_flow(brightness_difference: Array, measurement: Measurement) -> Bools:
    """(H, W) whether flow fails, with a margin; of a batch (B, H, W)."""
    difference = abs(brightness_difference).clip(None, _MAX_DIFFERENCE)
    blurred = box_mean(difference, _WINDOW, cv2.BORDER_DEFAULT)
    failed = (blurred > _MIN_DIFFERENCE) | (measurement.confidence < _MAX_CONFIDENCE)
    opened = dilate(~dilate(~failed, _SPECK), _SPECK)
    return dilate(opened, 2 * _MARGIN + 1)


def _unexplained_matches(matched: tuple[Array, Array], field: MotionField) -> _Matches:
    """The matches that move differently from the field."""
    t2b, b2t = matched
    own = field.scan.at(t2b[:, 1])
    gap = field.scan.reversed.at(b2t[:, 1]) - own
    between = field.parallax.at(t2b[:, 0])
    moved, seen = b2t - t2b - between, t2b + between / 2  # by a camera between both
    usable = np.abs(gap) > _MIN_GAP
    velocity = np.asarray(moved[usable] / gap[usable, None], np.float32)
    place = np.asarray(seen[usable] + velocity * (0.5 - own[usable, None]), np.float32)
    if not usable.any():
        return _Matches(place, velocity)
    known = sample_cells(field.velocity, (place[:, :1].copy(), place[:, 1:].copy()))[:, 0]
    new = length_of(velocity - known) * np.abs(gap[usable]) > _MIN_NOVELTY
    return _Matches(place[new], velocity[new])


def _group_by_object(matches: _Matches) -> Iterator[_Matches]:
    """Sets of neighbouring matches that move by one similarity, by sequential RANSAC."""
    for _ in range(_MAX_OBJECTS):
        if len(matches.place) < _MIN_MATCHES:
            return
        similarity, inlier = cv2.estimateAffinePartial2D(
            matches.place,
            matches.place + matches.velocity,
            method=cv2.RANSAC,
            ransacReprojThreshold=_INLIER_DISTANCE,
        )
        if similarity is None:
            return
        agreeing = inlier.ravel().astype(bool)
        middle = np.median(matches.place[agreeing], axis=0)
        near = agreeing & (np.linalg.norm(matches.place - middle, axis=1) < _RADIUS)
        turn = float(np.hypot(similarity[0, 0] - 1, similarity[1, 0]))
        if np.count_nonzero(near) >= _MIN_MATCHES and turn < _MAX_TURN:
            yield _Matches(matches.place[near], matches.velocity[near])
        matches = _Matches(matches.place[~agreeing], matches.velocity[~agreeing])


def _similarity_velocity(matches: _Matches, size: tuple[int, ...]) -> Array:
    """Velocities (h, w, 2) of the similarity that fits an object's matches by least squares."""
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
    """Cells (h, w) in which an object may show: the convex hull of its matches, dilated."""
    hull = cv2.convexHull((matches.place / CELL).astype(np.int32))
    inside = cv2.fillConvexPoly(np.zeros(size, np.uint8), hull, 1)
    return dilate(inside > 0, 2 * (_REACH // CELL) + 1)


def _view_difference(field: MotionField, velocity: Array, cells: tuple[Array, Array]) -> Array:
    """Mean difference (h, w) in grey levels of the views, warped to t = 1/2, around each cell."""
    height, width = field.measurements[0].own.shape[-2:]
    (first, second), places = warp_to_middle(field, velocity, cells)
    difference = (255 * abs(first - second).mean(-1)).clip(None, _MAX_DIFFERENCE)
    for x, y, _, _ in places:
        outside = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
        difference = library(velocity).where(outside, 2 * _MAX_DIFFERENCE, difference)
    return box_mean(difference, _CELL_WINDOW, cv2.BORDER_DEFAULT)
