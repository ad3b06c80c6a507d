"""Runs of one place in the comparison become a point, points of a family a curve."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from efdet_jax.sweep.report.runs import FINISHED, Run


class Point(NamedTuple):
    """One size of a family, over its finished seeds; nan is what nobody measured."""

    label: str
    seeds: int
    mean: float
    """Of the metric, as all of it in 0..1."""
    deviation: float
    """The sample's standard deviation; nan of a single seed."""
    multiply_adds: float
    params: float
    latency_ms: float
    """Of one image, as it was evaluated."""


class Curve(NamedTuple):
    """A family, its points by multiply-adds, those without at the end."""

    name: str
    """The family's; with its sweep's before it where two sweeps have it."""
    sweep: str
    family: str
    points: tuple[Point, ...]


COSTS = ("multiply_adds", "params", "latency_ms")
"""The fields of a point that the metric is drawn against."""


def make_curves(runs: Sequence[Run], metric: str) -> list[Curve]:
    """Returns the curves that finished trials make, in the order of the trials."""
    groups: dict[tuple[str, str], dict[str, list[Run]]] = {}
    for run in runs:
        if run.status == FINISHED and metric in run.figures:
            for family in (run.family, *run.also_in):
                points = groups.setdefault((run.sweep, family), {})
                points.setdefault(run.point, []).append(run)
    shared = Counter(family for _, family in groups)
    return [
        Curve(
            name=family if shared[family] == 1 else f"{sweep} {family}",
            sweep=sweep,
            family=family,
            points=tuple(sorted(_points(points, metric), key=_place)),
        )
        for (sweep, family), points in groups.items()
    ]


def column(points: Iterable[Point], field: str) -> Float[np.ndarray, " p"]:
    """Returns one field of all points."""
    return np.array([getattr(point, field) for point in points], np.float64)


def having(curve: Curve, cost: str) -> Curve:
    """Returns the curve without the points whose cost is not known, by that cost."""
    known = [point for point in curve.points if getattr(point, cost) > 0]
    return curve._replace(
        points=tuple(sorted(known, key=lambda point: getattr(point, cost)))
    )


def _points(groups: dict[str, list[Run]], metric: str) -> list[Point]:
    return [_point(label, runs, metric) for label, runs in groups.items()]


def _point(label: str, runs: Sequence[Run], metric: str) -> Point:
    values = [run.figures[metric] for run in runs]
    costs = {
        name: _mean([run.figures[name] for run in runs if name in run.figures])
        for name in COSTS
    }
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return Point(label, len(values), _mean(values), deviation, **costs)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _place(point: Point) -> float:
    return math.inf if math.isnan(point.multiply_adds) else point.multiply_adds
