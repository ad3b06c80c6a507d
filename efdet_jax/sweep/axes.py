"""What a sweep goes through: values of phi, and sizes that reach a budget."""

from collections.abc import Callable, Iterable
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
    values: Iterable[Value],
    *,
    multiply_adds: float,
    num_classes: int,
) -> Value:
    """Returns the value whose detector has about so many multiply-adds.

    Sizes are whole numbers of blocks, channels or cells, so few budgets are met exactly.

    Args:
      make: the config at a value.
      values: to choose from, each at least as costly as the one before.
      multiply_adds: the budget.
      num_classes: of the detectors.

    Raises:
      UsageError: even the last value costs less than half of the budget.
    """
    best, smallest_ratio = None, 2.0
    for value in values:
        found = detector(make(value), num_classes).multiply_adds / multiply_adds
        ratio = max(found, 1 / found)
        if ratio < smallest_ratio:
            best, smallest_ratio = value, ratio
        if found > 1:
            break
    if best is None:
        raise UsageError(
            f"no size comes near {multiply_adds:.3g} multiply-adds: offer larger or "
            "smaller ones"
        )
    return best
