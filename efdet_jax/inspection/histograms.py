"""What a data set holds, drawn."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from efdet_jax.inspection.coverage import MATCH_IOU
from efdet_jax.pages.images import encode

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


def draw(numbers: Numbers, names: Sequence[str]) -> str:
    """Returns the histograms as one SVG element.

    Args:
      numbers: of the data set.
      names: of its classes.
    """
    with mpl.rc_context({"font.size": 8, "svg.hashsalt": "efdet_jax"}):
        figure = Figure(figsize=(9.6, 6.0), dpi=160, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        ((classes, per_image, sizes), (sides, aspects, overlap)) = figure.subplots(2, 3)
        _bars(classes, numbers.class_counts, names)
        _histogram(per_image, numbers.boxes_per_image, "boxes per image", log=False)
        _scatter(sizes, numbers.image_sizes)
        _histogram(
            sides, numbers.sides, "√area of boxes in the input, pixels", log=True
        )
        _histogram(aspects, numbers.aspects, "width / height of boxes", log=True)
        _histogram(overlap, numbers.anchor_iou, "IoU with the best anchor", log=False)
        overlap.axvline(MATCH_IOU, color="#D55E00", linewidth=1)
        return encode(figure, canvas).svg


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
