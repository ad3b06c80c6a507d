"""The metric against what it costs, drawn for a paper and for a screen."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter

from efdet_jax.pages.images import COLOURS, Images, encode
from efdet_jax.sweep.report.curves import Curve, Point, column, having
from efdet_jax.sweep.report.forecast import CONFIDENCE, Outlook
from efdet_jax.sweep.report.labelling import Label, label_points
from efdet_jax.sweep.report.pareto import pareto_front
from efdet_jax.sweep.report.power_law import band

MARKERS = "osD^vPXp"
"""One more than colours, so that a pair comes again after 56 families."""

COST_NAMES = {
    "multiply_adds": "multiply-adds",
    "params": "parameters",
    "latency_ms": "latency per image, ms",
}
"""What a field of a point is called on an axis."""

_FONT = {"font.size": 9, "axes.titlesize": 10, "svg.hashsalt": "efdet_jax"}


class _Style(NamedTuple):
    colour: str
    marker: str


def draw(
    curves: Sequence[Curve],
    outlooks: Mapping[str, Outlook],
    *,
    cost: str,
    metric: str,
    note: str,
) -> Images | None:
    """Draws the metric against a cost; nothing if no point has that cost.

    Args:
      curves: one for each family.
      outlooks: laws to draw, by the curves' names; they are laws of `cost`.
      cost: a field of points, on a log axis.
      metric: its name.
      note: behind the cost's name, such as where latency was measured.
    """
    # By place among all, so that a family looks the same in every figure.
    styles = [
        _Style(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)])
        for i in range(len(curves))
    ]
    known = [having(curve, cost) for curve in curves]
    points = [point for curve in known for point in curve.points]
    if not points:
        return None
    with mpl.rc_context(_FONT):
        figure = Figure(figsize=(7.6, 4.8), dpi=160, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        labels = []
        for curve, style in zip(known, styles, strict=True):
            outlook = outlooks.get(curve.name)
            if curve.points:
                labels += _draw_points(axes, curve, cost, style, bool(outlook))
            if outlook:
                labels += _draw_outlook(axes, curve, outlook, style)
        # Where curves begin with one point, it is named once.
        labels = list({label[:3]: label for label in labels}.values())
        _draw_front(axes, points, cost)
        _scale(axes, labels, is_time=cost == "latency_ms")
        _name(axes, metric, COST_NAMES[cost], note, has_law=bool(outlooks))
        canvas.draw()  # Labels need the final layout.
        legend = axes.get_legend()
        assert legend is not None
        renderer = canvas.get_renderer()
        box = legend.get_window_extent(renderer)
        label_points(axes, renderer, labels, obstacles=[box])
        return encode(figure, canvas)


def _draw_points(
    axes: Axes, curve: Curve, cost: str, style: _Style, has_law: bool
) -> list[Label]:
    """Draws a family's points with their deviations; returns their labels."""
    axes.errorbar(
        column(curve.points, cost),
        column(curve.points, "mean"),
        yerr=np.nan_to_num(column(curve.points, "deviation")),
        color=style.colour,
        marker=style.marker,
        # A law is a better line than one from point to point.
        linestyle="none" if has_law else "-",
        linewidth=1.1,
        markersize=6,
        markeredgecolor="white",
        markeredgewidth=0.7,
        capsize=2.5,
        label=curve.name,
        zorder=4,
    )
    return [
        Label(point.label, getattr(point, cost), point.mean, style.colour)
        for point in curve.points
    ]


def _draw_outlook(
    axes: Axes, curve: Curve, outlook: Outlook, style: _Style
) -> list[Label]:
    """Draws a law with its band up to the next size, and the forecast there."""
    colour, ahead = style.colour, outlook.next
    grid = np.geomspace(curve.points[0].multiply_adds, ahead.multiply_adds, 200)
    line = band(outlook.law, grid, confidence=CONFIDENCE)
    axes.plot(grid, line.value, color=colour, linewidth=1.3, zorder=3)
    axes.fill_between(
        grid, line.low, line.high, color=colour, alpha=0.15, linewidth=0, zorder=1
    )
    axes.errorbar(
        ahead.multiply_adds,
        ahead.value,
        yerr=(ahead.high - ahead.low) / 2,
        color=colour,
        marker=style.marker,
        markerfacecolor="white",
        markersize=6,
        linewidth=0.8,
        capsize=2.5,
        zorder=3,
    )
    return [Label(ahead.label, ahead.multiply_adds, ahead.value, colour)]


def _draw_front(axes: Axes, points: Sequence[Point], cost: str) -> None:
    x, y = column(points, cost), column(points, "mean")
    front = np.flatnonzero(pareto_front(x, y))
    front = front[np.argsort(x[front])]
    axes.plot(
        x[front],
        y[front],
        color="#dddddd",
        linewidth=7,
        solid_capstyle="round",
        label="Pareto front",
        zorder=0.5,
    )


def _scale(axes: Axes, shown: Sequence[Label], *, is_time: bool) -> None:
    """Sets a log axis for the cost, and limits by the points: bands may leave them."""
    x = np.array([label.x for label in shown])
    y = np.array([label.y for label in shown])
    decades = np.log10(x.max() / x.min())
    steps = (1.0,) if decades > 3 else (1.0, 2.0, 5.0)
    if decades < 0.6:
        steps = tuple(float(i) for i in range(1, 10))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=20))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:g}") if is_time else EngFormatter()
    )
    axes.xaxis.set_minor_formatter(NullFormatter())
    beyond = 10 ** max(0.06 * decades, 0.05)
    axes.set_xlim(x.min() / beyond, x.max() * beyond)
    room = max(0.1 * np.ptp(y), 0.01)
    axes.set_ylim(y.min() - room, y.max() + room)


def _name(axes: Axes, metric: str, cost_name: str, note: str, *, has_law: bool) -> None:
    axes.set(xlabel=f"{cost_name}{note}", ylabel=metric)
    axes.set_title(f"{metric} against {cost_name.split(',')[0]}", loc="left")
    legend = "bars: standard deviation over seeds"
    if has_law:
        legend += f"; bands and open marks: law and next size, {CONFIDENCE:.0%}"
    axes.set_title(legend, loc="right", fontsize=7, color="#666666")
    axes.grid(color="#ececec", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="best", frameon=False)
