"""Places names beside points so that they cover nothing: no point, no other name, and if possible no line.

All coordinates are pixels.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Box = tuple[float, float, float, float]  # left, bottom, right, top
Place = tuple[float, float]  # of a name's centre

_DISTANCES = (6, 14, 24, 38, 55, 75, 100, 130)  # between a point and its name
_ANGLES = 16
_ORDERS = 10  # in which names are placed: the best of them counts
_TRIED = 30  # candidates whose leaders are looked at
_POINT = 7.0  # half the size of a point
_LINE, _COVERED, _OUTSIDE = 40.0, 1e4, 1e6  # what a crossed line, a covered name or point, and leaving the axes cost
LEADER = 20.0  # a name that is farther from its point than this is connected to it


@dataclass
class _Placed:
    boxes: list[Box]
    leaders: list[tuple[Place, Place]]


def place(
    points: Sequence[Place], sizes: Sequence[tuple[float, float]], lines: Sequence[Box], area: Box
) -> list[Place]:
    """Where the centre of each name is.

    Args:
        points: (x, y) of each.
        sizes: width and height of each name.
        lines: horizontal and vertical ones, as boxes without a width or a height.
        area: that names may not leave.
    """
    draw = random.Random(0)
    numbers = list(range(len(points)))
    best: tuple[float, list[Place]] = (np.inf, list(points))
    for _ in range(_ORDERS):
        total, places = _in_order(numbers, points, sizes, lines, area)
        best = min(best, (total, places), key=lambda one: one[0])
        draw.shuffle(numbers)
    return best[1]


def _in_order(
    order: Sequence[int], points: Sequence[Place], sizes: Sequence[tuple[float, float]], lines: Sequence[Box], area: Box
) -> tuple[float, list[Place]]:
    markers = [(x - _POINT, y - _POINT, x + _POINT, y + _POINT) for x, y in points]
    placed = _Placed([], [])
    total, places = 0.0, list(points)
    for number in order:
        centres, costs = _candidates(points[number], sizes[number])
        boxes = _around(centres, sizes[number])
        costs = costs + _LINE * _overlaps(boxes, lines)
        costs += _COVERED * (_overlaps(boxes, markers) + _overlaps(boxes, placed.boxes))
        costs += _OUTSIDE * _leaves(boxes, area)
        others = [marker for k, marker in enumerate(markers) if k != number]
        chosen, least = 0, np.inf
        for k in np.argsort(costs, kind="stable")[:_TRIED]:
            if costs[k] >= least:  # and so are all that follow
                break
            cost = costs[k] + _COVERED * _leader_conflicts(points[number], boxes[k], others, placed)
            chosen, least = (int(k), cost) if cost < least else (chosen, least)
        total += float(least)
        places[number] = (float(centres[chosen, 0]), float(centres[chosen, 1]))
        placed.boxes.append(tuple(boxes[chosen]))
        end = nearest(points[number], tuple(boxes[chosen]))
        if _length(points[number], end) > LEADER:
            placed.leaders.append((points[number], end))
    return total, places


def _candidates(point: Place, size: tuple[float, float]) -> tuple[Floats, Floats]:
    """Centres of a name around its point, (K, 2), and what their distance costs, (K,)."""
    centres, costs = [], []
    for distance in _DISTANCES:
        for k in range(_ANGLES):
            angle = 2 * np.pi * k / _ANGLES
            along = np.array([np.cos(angle), np.sin(angle)])
            centres.append(np.array(point) + along * (np.array(size) / 2 + _POINT * 0.7 + distance))
            costs.append(distance + (0.0 if k == 0 else 2.0 if k in (4, 8, 12) else 3.0))  # to the right if possible
    return np.array(centres), np.array(costs)


def _around(centres: Floats, size: tuple[float, float]) -> Floats:
    half = np.array(size) / 2
    return np.concatenate([centres - half, centres + half], axis=1)  # (K, 4)


def _overlaps(boxes: Floats, others: Sequence[Box]) -> Floats:
    """How many of `others` each box overlaps: (K,)."""
    if not others:
        return np.zeros(len(boxes))
    b, o = boxes[:, None], np.array(others)[None]
    return ((b[..., :2] <= o[..., 2:]) & (b[..., 2:] >= o[..., :2])).all(-1).sum(1).astype(float)


def _leaves(boxes: Floats, area: Box) -> Floats:
    low, high = np.array(area[:2]), np.array(area[2:])
    return ((boxes[:, :2] < low) | (boxes[:, 2:] > high)).any(1).astype(float)


def _leader_conflicts(point: Place, box: Floats, markers: Sequence[Box], placed: _Placed) -> float:
    """How many names, points and other leaders the line from a point to its name would cross."""
    end = nearest(point, tuple(box))
    here = sum(_hits(leader, [tuple(box)]) for leader in placed.leaders)
    if _length(point, end) <= LEADER:
        return here
    line = (point, end)
    here += _hits(line, [*placed.boxes, *markers])
    return here + sum(_cross(line, other) for other in placed.leaders)


def nearest(point: Place, box: Box) -> Place:
    """The place of a box that is closest to a point."""
    return min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3])


def _length(a: Place, b: Place) -> float:
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))


def _hits(line: tuple[Place, Place], boxes: Sequence[Box]) -> int:
    """How many boxes a line touches."""
    if not boxes:
        return 0
    start, end = np.array(line)
    along = start + _ALONG * (end - start)  # (24, 2)
    low, high = np.array(boxes)[:, None, :2], np.array(boxes)[:, None, 2:]
    return int(((low <= along) & (along <= high)).all(-1).any(1).sum())


_ALONG = np.linspace(0, 1, 24)[:, None]


def _cross(one: tuple[Place, Place], other: tuple[Place, Place]) -> bool:
    def side(a: Place, b: Place, c: Place) -> float:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    (a, b), (c, d) = one, other
    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
