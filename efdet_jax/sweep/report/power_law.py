"""A saturating power law through the points of a family, and what it foretells.

AP(C) = asymptote - gap * (C / pivot) ** -exponent

with the pivot at the geometric mean of the measured costs, where the three numbers are
least entangled; B of the usual A - B * C**-c is gap * pivot**exponent. What is fitted
are the logarithms of gap and exponent: both are above zero, their errors near normal.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import optimize, stats

LEAST_POINTS = 4
"""Three numbers through fewer points would leave nothing to judge them by."""

LARGEST_VALUE = 1.0
"""AP and accuracy end here, and so do asymptotes."""

_EXPONENTS = (0.01, 8.0)
"""Flatter than the first is no rise, steeper than the second a step."""

Array = Float[np.ndarray, " p"]


class CannotFit(Exception):
    """The points do not say what law they follow; the message says why."""


class PowerLaw(NamedTuple):
    """A fit, with what is needed to say how sure it is."""

    asymptote: float
    gap: float
    """Below the asymptote at the pivot."""
    exponent: float
    pivot: float
    """A cost."""
    covariance: Float[np.ndarray, "3 3"]
    """Of (asymptote, log gap, log exponent)."""
    noise: float
    """Standard deviation of a single run around the law."""
    freedom: int
    """Points less numbers fitted."""
    is_held: bool
    """The points do not bend enough to tell an asymptote below `LARGEST_VALUE`, where
    it was held; the other two numbers were fitted to it."""


class Interval(NamedTuple):
    """A value and where it lies with some confidence."""

    value: Array
    low: Array
    high: Array


def fit(cost: Array, value: Array, seeds: Array) -> PowerLaw:
    """Fits the law by least squares, each point as heavy as it has runs.

    Args:
      cost: Above zero, such as multiply-adds.
      value: Mean metric over the runs of a point, in 0..1.
      seeds: How many runs that were.

    Raises:
      CannotFit: Too few points, or they do not rise with the cost, or fall into a step.
    """
    if len(np.unique(cost)) < LEAST_POINTS:
        raise CannotFit(f"needs {LEAST_POINTS} sizes, there are {len(np.unique(cost))}")
    pivot = math.exp(np.log(cost).mean())
    x = np.log(cost / pivot)
    if np.polyfit(x, value, 1, w=np.sqrt(seeds))[0] <= 1e-9:
        raise CannotFit("the metric does not rise with the cost")
    found, covariance = _solve(x, value, seeds, is_held=False)
    is_held = bool(LARGEST_VALUE - found[0] < 1e-3)
    if is_held:
        found, covariance = _solve(x, value, seeds, is_held=True)
    asymptote, gap, exponent = found[0], *np.exp(found[1:])
    if not _EXPONENTS[0] * 1.01 < exponent < _EXPONENTS[1] * 0.99:
        raise CannotFit("the points make a step or a flat line, not a curve")
    freedom = len(cost) - (2 if is_held else 3)
    residuals = (value - _law(x, *found)) * np.sqrt(seeds)
    return PowerLaw(
        asymptote=float(asymptote),
        gap=float(gap),
        exponent=float(exponent),
        pivot=pivot,
        covariance=covariance,
        noise=float(np.sqrt((residuals**2).sum() / freedom)),
        freedom=freedom,
        is_held=is_held,
    )


def band(law: PowerLaw, cost: Array, *, confidence: float) -> Interval:
    """Returns the law and where it lies: the error of the fit only."""
    return _interval(law, cost, confidence, extra_variance=0.0)


def predict(
    law: PowerLaw, cost: float, *, seeds: int = 1, confidence: float
) -> Interval:
    """Returns where the mean of new runs will lie, their noise included."""
    return _interval(law, np.array([cost]), confidence, law.noise**2 / seeds)


def asymptote_range(law: PowerLaw, *, confidence: float) -> tuple[float, float]:
    """Returns where the asymptote lies."""
    reach = _quantile(law, confidence) * math.sqrt(law.covariance[0, 0])
    return law.asymptote - reach, min(law.asymptote + reach, LARGEST_VALUE)


def _law(x: Array, asymptote: float, log_gap: float, log_exponent: float) -> Array:
    """Returns the law at x = log(cost / pivot)."""
    return asymptote - np.exp(log_gap - np.exp(log_exponent) * x)


def _solve(
    x: Array, value: Array, seeds: Array, *, is_held: bool
) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, "3 3"]]:
    """Returns (asymptote, log gap, log exponent) and their covariance."""
    start = value.max() + np.ptp(value) / 2
    low = [0.0, -20.0, math.log(_EXPONENTS[0])]
    high = [LARGEST_VALUE, 3.0, math.log(_EXPONENTS[1])]
    guess = [start, math.log(start - value.mean()), math.log(1 / np.ptp(x))]
    free = slice(1, 3) if is_held else slice(0, 3)
    law = (lambda x, *rest: _law(x, LARGEST_VALUE, *rest)) if is_held else _law
    try:
        found, errors, *_ = optimize.curve_fit(
            law,
            x,
            value,
            p0=np.clip(guess, low, high)[free],
            sigma=1 / np.sqrt(seeds),
            bounds=(low[free], high[free]),
        )
    except RuntimeError as error:
        raise CannotFit("no law fits best: least squares do not converge") from error
    everything = np.array([LARGEST_VALUE, 0.0, 0.0])
    covariance = np.zeros((3, 3))
    everything[free], covariance[free, free] = found, errors
    return everything, covariance


def _interval(
    law: PowerLaw, cost: Array, confidence: float, extra_variance: float
) -> Interval:
    """Returns the law's value and errors by the delta method.

    Its gradient by (asymptote, log gap, log exponent), times the covariance, twice.
    """
    x = np.log(cost / law.pivot)
    below = law.gap * np.exp(-law.exponent * x)
    gradient = np.stack([np.ones_like(x), -below, below * law.exponent * x], axis=1)
    variance = np.einsum("pi,ij,pj->p", gradient, law.covariance, gradient)
    reach = _quantile(law, confidence) * np.sqrt(variance + extra_variance)
    value = law.asymptote - below
    return Interval(value, value - reach, value + reach)


def _quantile(law: PowerLaw, confidence: float) -> float:
    return float(stats.t.ppf((1 + confidence) / 2, law.freedom))
