"""What a data set holds, drawn."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from efdet_jax.inspection.coverage import MATCH_IOU
from efdet_jax.pages.images import panel

_COLOUR = "#0072B2"
_MOST_CLASSES = 25
"""Bars of the most frequent ones; more cannot be read."""
_MOST_LETTERS = 60
"""Of the name of a class."""


class Numbers(NamedTuple):
    """Of all images and of all objects."""

    class_counts: Int[np.ndarray, " k"]
    boxes_per_image: Int[np.ndarray, " i"]
    image_sizes: Int[np.ndarray, "i 2"]
    """Height and width."""
    sides: Float[np.ndarray, " n"]
    """Square roots of areas, in pixels of the network's input."""
    aspects: Float[np.ndarray, " n"]
    """Width over height."""
    anchor_iou: Float[np.ndarray, " n"]
    """With the best anchor."""


def panels(numbers: Numbers, names: Sequence[str]) -> list[tuple[str, str]]:
    """Returns the histograms as HTML elements, each after what is said below it.

    Args:
      numbers: of the data set.
      names: of its classes.
    """

    def overlap(axes: Axes) -> None:
        _histogram(axes, numbers.anchor_iou, "IoU with the best anchor", log=False)
        axes.axvline(MATCH_IOU, color="#D55E00", linewidth=1)

    drawn = (
        lambda axes: _bars(axes, numbers.class_counts, names),
        lambda axes: _histogram(
            axes, numbers.boxes_per_image, "boxes per image", log=False
        ),
        lambda axes: _scatter(axes, numbers.image_sizes),
        lambda axes: _histogram(
            axes, numbers.sides, "√area of boxes in the input, pixels", log=True
        ),
        lambda axes: _histogram(
            axes, numbers.aspects, "width / height of boxes", log=True
        ),
        overlap,
    )
    return [("", panel(draw)) for draw in drawn]


def _bars(axes: Axes, counts: Int[np.ndarray, " k"], names: Sequence[str]) -> None:
    shown = np.argsort(-counts, kind="stable")[:_MOST_CLASSES][::-1]
    # Between dollars, Matplotlib would read a formula.
    labels = [names[i][:_MOST_LETTERS].replace("$", r"\$") for i in shown]
    axes.barh(labels, counts[shown], color=_COLOUR)
    left_out = len(counts) - len(shown)
    more = f" (the {len(shown)} most frequent of {len(counts)})" if left_out else ""
    axes.set_xlabel(f"boxes of each class{more}")
    axes.tick_params(axis="y", labelsize=8 if len(shown) <= 12 else 5)


def _histogram(axes: Axes, values: np.ndarray, label: str, *, log: bool) -> None:
    known = values[np.isfinite(values) & ((values > 0) | (not log))]
    axes.set_xlabel(label)
    if not len(known):
        return
    low, high = float(known.min()), float(known.max())
    if log:
        axes.set_xscale("log")
        # By default a span of less than a decade is labelled until words overlap.
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        bins = np.geomspace(low * 0.99, high * 1.01, 31)
    else:
        whole = np.issubdtype(known.dtype, np.integer)
        count = int(min(30, high - low + 1)) if whole else 30
        bins = np.linspace(low, high + (1 if whole else 1e-6), count + 1)
    axes.hist(known, bins=bins.tolist(), color=_COLOUR)


def _scatter(axes: Axes, sizes: Int[np.ndarray, "i 2"]) -> None:
    axes.scatter(sizes[:, 1], sizes[:, 0], s=8, color=_COLOUR, alpha=0.4)
    axes.set(xlabel="width of images, pixels", ylabel="height")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
