"""What compound scaling gains over scaling one thing alone, at equal multiply-adds."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from efdet_jax.sweep.report.curves import Curve, Point, column, having

COMPOUND = "compound"
"""The family that is compared with the best of its sweep's other families."""

NEAR = 0.05
"""By how much more work than a rival's largest a point may have to be compared with it.

Sizes are whole blocks, channels and cells, so few do equal work exactly; the rival is
judged by what it has with less.
"""


class Gain(NamedTuple):
    """A point of a curve against the best of its rivals."""

    label: str
    multiply_adds: float
    value: float
    rival: str
    """The family that is best at these multiply-adds."""
    rival_value: float
    """Its metric there, between its measured points, or at the last of them."""
    error: float
    """Standard error of value - rival_value over seeds; nan where a point has one."""
    cost_ratio: float
    """By how much more multiply-adds the cheapest rival has this point's metric."""
    bound: str
    """">" if no rival gets there, "<" if the smallest does: what the ratio then is;
    else ""."""


def interpolate(
    cost: Float[np.ndarray, " p"], value: Float[np.ndarray, " p"], at: float
) -> float:
    """Returns a value between points, straight over log cost; nan outside of them."""
    inside = np.interp(math.log(at), np.log(cost), value, math.nan, math.nan)
    return float(inside)


def cost_to_reach(
    cost: Float[np.ndarray, " p"], value: Float[np.ndarray, " p"], target: float
) -> tuple[float, str]:
    """Returns the least cost at which the line between points reaches the target.

    Beside it is "<" where the first point has more than the target, ">" where none has
    it: the cost is then that of the first or last point, and a bound.
    """
    reached = np.flatnonzero(value >= target)
    if not len(reached):
        return float(cost[-1]), ">"
    after = reached[0]
    if after == 0:
        return float(cost[0]), "<" if value[0] > target else ""
    ends = [after - 1, after]
    return math.exp(np.interp(target, value[ends], np.log(cost[ends]))), ""


def gains(curve: Curve, rivals: Sequence[Curve]) -> list[Gain]:
    """Returns a row for each point at whose multiply-adds a rival was measured.

    Where curves begin with a point of both, nothing is gained yet: it has no row.
    """
    rivals = [having(rival, "multiply_adds") for rival in rivals]
    shared = {_identity(point) for rival in rivals for point in rival.points}
    rows = [
        _gain(point, rivals)
        for point in having(curve, "multiply_adds").points
        if _identity(point) not in shared
    ]
    return [row for row in rows if row is not None]


def _identity(point: Point) -> tuple[str, float, float]:
    """Returns what two points of the same trials have in common, and no others."""
    return point.label, point.multiply_adds, point.mean


def _gain(point: Point, rivals: Sequence[Curve]) -> Gain | None:
    at = point.multiply_adds
    # Never beyond what was measured: extrapolation would decide who wins.
    rivals = [r for r in rivals if r.points and _reaches(r, at)]
    if not rivals:
        return None
    values = [_along(rival, _values(rival), at) for rival in rivals]
    best = int(np.argmax(values))
    error = _along(rivals[best], _errors(rivals[best].points), at)
    needed = [cost_to_reach(_costs(r), _values(r), point.mean) for r in rivals]
    # One that gets there is cheaper than one that never was seen to.
    cost, bound = min(needed, key=lambda found: (found[1] == ">", found[0]))
    return Gain(
        label=point.label,
        multiply_adds=at,
        value=point.mean,
        rival=rivals[best].family,
        rival_value=values[best],
        error=math.hypot(error, float(_errors([point])[0])),
        cost_ratio=cost / at,
        bound=bound,
    )


def _reaches(curve: Curve, cost: float) -> bool:
    return bool(_costs(curve)[0] <= cost <= _largest(curve) * (1 + NEAR))


def _along(curve: Curve, values: Float[np.ndarray, " p"], cost: float) -> float:
    """Returns a value at a cost that the curve reaches."""
    return interpolate(_costs(curve), values, min(cost, _largest(curve)))


def _largest(curve: Curve) -> float:
    return float(_costs(curve)[-1])


def _costs(curve: Curve) -> Float[np.ndarray, " p"]:
    return column(curve.points, "multiply_adds")


def _values(curve: Curve) -> Float[np.ndarray, " p"]:
    return column(curve.points, "mean")


def _errors(points: Sequence[Point]) -> Float[np.ndarray, " p"]:
    return column(points, "deviation") / np.sqrt(column(points, "seeds"))
