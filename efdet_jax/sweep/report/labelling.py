"""Labels beside points, none on top of another."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.transforms import Bbox

_POINTS_AWAY = 7
_PLACES = (
    *((0, 1, "center", "bottom"), (0, -1, "center", "top")),
    *((1, 0, "left", "center"), (-1, 0, "right", "center")),
    *((0.7, 0.7, "left", "bottom"), (-0.7, 0.7, "right", "bottom")),
    *((0.7, -0.7, "left", "top"), (-0.7, -0.7, "right", "top")),
)
"""Where a label may stand: direction and alignment, the best first."""

_HALO = [patheffects.withStroke(linewidth=2.5, foreground="white")]


class Label(NamedTuple):
    """What is written beside a point."""

    text: str
    x: float
    """Of the point, in data, and so is y."""
    y: float
    colour: str


def label_points(
    axes: Axes,
    renderer: RendererBase,
    labels: Sequence[Label],
    *,
    obstacles: Sequence[Bbox],
) -> None:
    """Writes each label where there is room; one without room is left out.

    Args:
      axes: whose layout is final.
      renderer: what measures text.
      labels: the first has the first choice.
      obstacles: what no label may cover, in pixels; the points themselves are added.
    """
    reach = np.multiply(0.6, renderer.points_to_pixels(_POINTS_AWAY))
    centres = axes.transData.transform([(label.x, label.y) for label in labels])
    taken = [*obstacles, *(Bbox([c - reach, c + reach]) for c in centres)]
    inside = axes.get_window_extent(renderer)
    for label in labels:
        text = axes.annotate(
            label.text,
            (label.x, label.y),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=7.5,
            color=label.colour,
            path_effects=_HALO,
            zorder=6,
        )
        for right, up, horizontal, vertical in _PLACES:
            text.set_position((right * _POINTS_AWAY, up * _POINTS_AWAY))
            text.set(horizontalalignment=horizontal, verticalalignment=vertical)
            box = text.get_window_extent(renderer)
            is_inside = inside.count_contains(box.corners()) == 4
            if is_inside and box.count_overlaps(taken) == 0:
                taken.append(box)
                break
        else:
            text.remove()
