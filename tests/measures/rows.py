"""Rows of the parity table: how far we are from whom, and how far we may be."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Row(NamedTuple):
    """The array of a group that differs most."""

    what: str
    against: str
    difference: float
    """The largest, as a share of `unit`."""
    unit: float
    """The array's largest value, unless 1 is said to be more natural."""
    where: str
    """Name of the array."""
    tolerance: float

    @property
    def is_near(self) -> bool:
        return self.difference <= self.tolerance


def share(found: ArrayLike, expected: ArrayLike) -> tuple[float, float]:
    """The largest difference as a share of the largest expected value; that value.

    Infinite where shapes differ, or where something is no number.
    """
    found, expected = (np.asarray(x, np.float64) for x in (found, expected))
    if found.shape != expected.shape:
        return np.inf, np.inf
    largest = float(np.abs(expected).max(initial=0.0))
    difference = float(np.abs(found - expected).max(initial=0.0))
    if difference == 0:
        return 0.0, largest
    with np.errstate(divide="ignore"):
        return float(np.nan_to_num(np.divide(difference, largest), nan=np.inf)), largest


def compare(
    what: str,
    against: str,
    tolerance: float,
    pairs: Mapping[str, tuple[ArrayLike, ArrayLike]],
) -> Row:
    """The row of a group of arrays, {name: (found, expected)}."""
    shares = {name: share(*pair) for name, pair in pairs.items()}
    where = max(shares, key=lambda name: shares[name][0])
    difference, unit = shares[where]
    return Row(what, against, difference, unit, where, tolerance)
