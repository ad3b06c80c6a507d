"""A law for each family, what it says of the next size, and whether it was right."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from efdet_jax.sweep.report.curves import Curve, Point, column, having
from efdet_jax.sweep.report.power_law import CannotFit, PowerLaw, fit, predict
from efdet_jax.sweep.report.runs import FINISHED, Run

CONFIDENCE = 0.95
"""Of every band and interval of a report."""


class Forecast(NamedTuple):
    """What a law says of a size that it was not fitted to."""

    label: str
    """Of the point; "" of a size that the sweep does not have."""
    multiply_adds: float
    value: float
    low: float
    high: float
    measured: float
    """nan before it was run."""


class Outlook(NamedTuple):
    """A family's law and what it foretells."""

    law: PowerLaw
    next: Forecast
    check: Forecast | None
    """The largest size, as it follows from the smaller ones; None if they are too few.
    """


class Study(NamedTuple):
    """What a family says of its law."""

    curve: Curve
    outlook: Outlook | None
    problem: str
    """Why there is no outlook; else ""."""


def study(curve: Curve, runs: Sequence[Run]) -> Study:
    """Fits a family's law and looks ahead.

    Args:
      curve: the family.
      runs: all trials: the family's next size is one that has begun, if there is one.
    """
    curve = having(curve, "multiply_adds")
    try:
        law = _fit(curve.points)
    except CannotFit as error:
        return Study(curve, None, str(error))
    label, cost = _next_size(curve, runs)
    ahead = _forecast(law, label, cost, seeds=1, measured=math.nan)
    return Study(curve, Outlook(law, ahead, _check(curve.points)), "")


def _fit(points: Sequence[Point]) -> PowerLaw:
    fields = (column(points, name) for name in ("multiply_adds", "mean", "seeds"))
    return fit(*fields)


def _check(points: Sequence[Point]) -> Forecast | None:
    last = points[-1]
    try:
        law = _fit(points[:-1])
    except CannotFit:
        return None
    return _forecast(
        law, last.label, last.multiply_adds, seeds=last.seeds, measured=last.mean
    )


def _forecast(
    law: PowerLaw, label: str, cost: float, *, seeds: int, measured: float
) -> Forecast:
    interval = predict(law, cost, seeds=seeds, confidence=CONFIDENCE)
    value, low, high = (float(part[0]) for part in interval)
    return Forecast(label, cost, value, low, high, measured)


def _next_size(curve: Curve, runs: Sequence[Run]) -> tuple[str, float]:
    """Returns the next size's label and multiply-adds.

    Of a trial that has begun if there is one, else one step of the mean ratio on.
    """
    costs = np.unique(column(curve.points, "multiply_adds"))
    begun = [
        (run.figures["multiply_adds"], run.point)
        for run in runs
        if (run.sweep, run.family) == (curve.sweep, curve.family)
        and run.status != FINISHED
        and run.figures.get("multiply_adds", 0) > costs[-1]
    ]
    if begun:
        cost, label = min(begun)
        return label, cost
    step = (costs[-1] / costs[0]) ** (1 / (len(costs) - 1))
    return "", float(costs[-1] * step)
