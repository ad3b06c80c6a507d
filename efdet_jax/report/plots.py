"""Lines, bars and tables of counts, drawn."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, PercentFormatter

from efdet_jax.pages.images import COLOURS
from efdet_jax.report.records import Series

_GREY = "#bbbbbb"


def draw_series(
    axes: Axes, series: Mapping[str, Series], *, log: bool = False, share: bool = False
) -> None:
    """Draws logged scalars over steps.

    Args:
      axes: to draw on.
      series: by the names that the legend gives them.
      log: whether the values have a log axis.
      share: whether they are shares, told in percent.
    """
    shown = {
        name: each
        for name, each in series.items()
        if not log or (each.values > 0).any()
    }
    for i, (name, (steps, values)) in enumerate(shown.items()):
        # A line of one point is nothing to be seen.
        marker = "o" if len(steps) < 20 else None
        axes.plot(
            steps,
            values,
            color=COLOURS[i % len(COLOURS)],
            label=name,
            linewidth=1.2,
            marker=marker,
            markersize=3,
        )
    if log and shown:
        axes.set_yscale("log")
    if share:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("step")
    if len(shown) > 1:
        axes.legend(frameon=False, fontsize=8)
    _tidy(axes)


def draw_curves(
    axes: Axes,
    recalls: Float[np.ndarray, " r"],
    curves: Mapping[str, Float[np.ndarray, " r"]],
    others: Sequence[Float[np.ndarray, " r"]] = (),
) -> None:
    """Draws precision over recall.

    Args:
      axes: to draw on.
      recalls: of every curve.
      curves: by the names that the legend gives them.
      others: drawn thinly behind, without names.
    """
    for other in others:
        axes.plot(recalls, other, color=_GREY, linewidth=0.6)
    for i, (name, curve) in enumerate(curves.items()):
        axes.plot(recalls, curve, color=COLOURS[i % len(COLOURS)], label=name)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(frameon=False, fontsize=8, loc="best")
    _tidy(axes)


def draw_bars(axes: Axes, values: Mapping[str, float], *, label: str) -> None:
    """Draws a bar for each value, the first on top.

    Args:
      axes: to draw on.
      values: by the names of the bars.
      label: what they are.
    """
    names = list(values)[::-1]
    bars = axes.barh(names, [values[name] for name in names], color=COLOURS[0])
    axes.bar_label(bars, fmt="%.3f", padding=3, fontsize=8)
    axes.margins(x=0.18)
    axes.set_xlabel(label)
    _tidy(axes)


def draw_confusion(
    axes: Axes, matrix: Int[np.ndarray, "rows columns"], names: Sequence[str]
) -> None:
    """Draws counts, each coloured by its share of its row.

    Args:
      axes: to draw on.
      matrix: last row and column are background, see `diagnosis.confusions`.
      names: of the other rows and columns.
    """
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    places = range(len(matrix))
    axes.set_xticks(places, [*names, "missed"], rotation=90)
    axes.set_yticks(places, [*names, "background"])
    axes.set(xlabel="found", ylabel="truth")
    size = 8 if len(matrix) <= 12 else 6
    for row, column in np.argwhere(matrix):
        axes.text(
            column,
            row,
            f"{matrix[row, column]}",
            ha="center",
            va="center",
            fontsize=size,
            color="white" if shares[row, column] > 0.5 else "black",
        )


def _tidy(axes: Axes) -> None:
    axes.grid(color="#ececec", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
