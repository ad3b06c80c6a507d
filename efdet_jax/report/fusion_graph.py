"""A cell of a neck, drawn as its paper would, with what it has learned."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch

from efdet_jax.diagnosis.fusion_weights import Cell, Edge

_STEP = 1.9
"""From one column to the next, where levels are 1 apart."""
_BEND = 0.22
"""Of edges that would run through another node, as a share of their length."""
_PLAIN = "#999999"
_NODE = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": "#444444"}


class Place(NamedTuple):
    """Of a node: column and level, in units of the axes."""

    x: float
    y: float


def draw_cell(axes: Axes, cell: Cell) -> None:
    """Draws inputs on the left, outputs on the right, the coarsest level on top.

    An edge is the wider and the darker, the more its source weighs in the node's sum;
    edges of nodes that learn no weights are grey.

    Args:
      axes: to draw on.
      cell: of the neck.
    """
    places = place_nodes(cell)
    for edge in cell.edges:
        _draw_edge(axes, edge, places)
    for name, place in places.items():
        level, _, kind = name.partition("_")
        label = level.upper() if kind in ("in", "out") else name
        axes.text(
            *place, label, ha="center", va="center", fontsize=8, bbox=_NODE, zorder=4
        )
    columns = [place.x for place in places.values()]
    levels = [place.y for place in places.values()]
    axes.set_xlim(min(columns) - 0.6, max(columns) + 0.6)
    axes.set_ylim(min(levels) - 0.6, max(levels) + 0.6)
    axes.set_aspect("equal")
    axes.set_axis_off()


def place_nodes(cell: Cell) -> dict[str, Place]:
    """Returns where each node stands: those of a level in a row, in their order."""
    inputs = {edge.source for edge in cell.edges if edge.source.endswith("_in")}
    levels = {name: int(name[1 : name.index("_")]) for name in inputs}
    columns = dict.fromkeys(inputs, 0)
    before = Counter(levels.values())
    for node in cell.nodes:
        levels[node.name] = node.level
        columns[node.name] = before[node.level]
        before[node.level] += 1
    last = max(columns.values())
    return {
        name: Place(_STEP * (last if name.endswith("_out") else column), levels[name])
        for name, column in columns.items()
    }


def _draw_edge(axes: Axes, edge: Edge, places: Mapping[str, Place]) -> None:
    start, end = places[edge.source], places[edge.node]
    bend = _BEND if _runs_through_another(edge, places) else 0.0
    weight = 0.35 if edge.share is None else min(max(edge.share, 0.0), 1.0)
    colour = (
        _PLAIN if edge.share is None else mpl.colormaps["viridis_r"](0.1 + 0.9 * weight)
    )
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            connectionstyle=f"arc3,rad={bend}",
            arrowstyle="-|>",
            mutation_scale=9,
            shrinkA=12,
            shrinkB=13,
            linewidth=0.6 + 4 * weight,
            color=colour,
            zorder=2,
        )
    )
    if edge.share is not None:
        axes.text(
            *_on_the_way(start, end, bend),
            f"{edge.share:.2f}",
            ha="center",
            va="center",
            fontsize=6.5,
            bbox={
                "boxstyle": "round,pad=0.1",
                "facecolor": "white",
                "edgecolor": "none",
            },
            zorder=3,
        )


def _runs_through_another(edge: Edge, places: Mapping[str, Place]) -> bool:
    """Says whether a node lies on the straight line of an edge."""
    start, end = np.array(places[edge.source]), np.array(places[edge.node])
    way = end - start
    for name, place in places.items():
        if name in (edge.source, edge.node):
            continue
        share = np.dot(place - start, way) / np.dot(way, way)
        if 0 < share < 1 and np.hypot(*(start + share * way - place)) < 0.2:
            return True
    return False


def _on_the_way(start: Place, end: Place, bend: float) -> tuple[float, float]:
    """Returns where the number of an edge stands, on the curve arc3 of matplotlib.

    In the middle, but where a bent edge passes the edges of the node that it avoids.
    """
    share = 0.3 if bend else 0.5
    way = np.array(end) - start
    across = np.array([way[1], -way[0]])
    x, y = start + share * way + 2 * share * (1 - share) * bend * across
    return float(x), float(y)
