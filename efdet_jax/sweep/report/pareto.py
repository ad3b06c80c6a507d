"""Which points nothing beats at their cost."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from efdet_jax.sweep.report.curves import Curve, column


def pareto_front(
    cost: Float[np.ndarray, " p"], value: Float[np.ndarray, " p"]
) -> Bool[np.ndarray, " p"]:
    """Returns which points no other beats: as cheap and as good, and better in one.

    Args:
      cost: less is better.
      value: more is better.
    """
    cheap = cost[None, :] <= cost[:, None]
    good = value[None, :] >= value[:, None]
    better = (cost[None, :] < cost[:, None]) | (value[None, :] > value[:, None])
    beaten = np.any(cheap & good & better, axis=1)
    return np.logical_not(beaten)


def on_front(curves: Sequence[Curve]) -> set[tuple[str, str]]:
    """Returns (curve, point) of all that nothing beats at its multiply-adds."""
    known = [
        (curve.name, point)
        for curve in curves
        for point in curve.points
        if point.multiply_adds > 0
    ]
    points = [point for _, point in known]
    front = pareto_front(column(points, "multiply_adds"), column(points, "mean"))
    return {
        (name, point.label)
        for (name, point), best in zip(known, front, strict=True)
        if best
    }
