"""What a sweep goes through: values of phi, and sizes that reach a budget."""

import bisect
import functools
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from ml_collections import ConfigDict

from efdet_jax.assemble import detector
from efdet_jax.errors import UsageError
from efdet_jax.scaling import real_phi

Value = TypeVar("Value")


def phis(text: str) -> list[float]:
    """Returns the values of phi that a text lists: "-3,-2.5", "0..3" or "0..3..0.5".

    Args:
      text: numbers, and ranges with both ends, in steps of 1 or as said.

    Raises:
      UsageError: it is not of this form.
    """
    values: list[float] = []
    for part in text.split(","):
        first, *rest = (real_phi(number) for number in part.split(".."))
        if len(rest) > 2 or (rest and rest[0] < first) or (rest[1:] and rest[1] <= 0):
            raise UsageError(
                f"phi {part!r} is no range: write FIRST..LAST or FIRST..LAST..STEP, "
                "such as 0..3..0.5"
            )
        last = rest[0] if rest else first
        step = rest[1] if len(rest) > 1 else 1.0
        count = int((last - first) / step + 1e-9)
        values += [first + i * step for i in range(count + 1)]
    return values


def at_budget(
    make: Callable[[Value], ConfigDict],
    values: Sequence[Value],
    *,
    multiply_adds: float,
    num_classes: int,
) -> Value:
    """Returns the value whose detector comes nearest to so many multiply-adds.

    Sizes are whole blocks, channels or cells, so few budgets are met exactly.

    Args:
      make: the config at a value.
      values: to choose from, each at least as costly as the one before.
      multiply_adds: the budget, of one image.
      num_classes: of the detectors.
    """

    @functools.cache
    def cost(place: int) -> float:
        return detector(make(values[place]), num_classes).multiply_adds

    above = bisect.bisect_left(range(len(values)), multiply_adds, key=cost)
    around = [i for i in (above - 1, above) if 0 <= i < len(values)]
    return values[min(around, key=lambda i: abs(math.log(cost(i) / multiply_adds)))]
