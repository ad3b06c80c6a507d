"""Draws what a detector is made of: docs/necks.png, docs/scaling.png, docs/flow.png.

Usage: python scripts/draw_concepts.py

Everything is read from the package: the tables of nodes, the sizes that phi gives, the
shapes of D0. No network is run.
"""

import argparse
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from efdet_jax import anchors, assemble, config, scaling
from efdet_jax.models import detector
from efdet_jax.models.necks import NECKS, Nodes

FOLDER = pathlib.Path(__file__).parents[1] / "docs"
BOTTOM, TOP = 3, 7
SHOWN = {"fpn": "FPN", "panet": "PANet", "nas_fpn": "NAS-FPN", "bifpn": "BiFPN"}
FROM_COARSER, FROM_FINER, SAME = "#1f5fbf", "#c2410c", "#555555"
PHIS = np.linspace(-4, 7, 441)


class Place(NamedTuple):
    """Where a node is drawn."""

    column: int
    level: int


def places(nodes: Nodes) -> dict[str, Place]:
    """Returns where each node and each input of a cell goes.

    A node stands right of what it is made of at its own level, and not left of the
    rest; outputs stand in the last column.
    """
    placed = {f"p{level}_in": Place(0, level) for level in range(BOTTOM, TOP + 1)}
    for node in nodes:
        sources = [placed[name] for name in node.inputs]
        column = max(s.column + (s.level == node.level) for s in sources)
        placed[node.name] = Place(column, node.level)
    last = max(place.column for place in placed.values())
    return {
        name: place._replace(column=last) if name.endswith("_out") else place
        for name, place in placed.items()
    }


def draw_edge(axes: Axes, start: Place, end: Place) -> None:
    """Draws an arrow, bent where a straight one would cross another node."""
    columns, levels = end.column - start.column, end.level - start.level
    colour = SAME if not levels else FROM_COARSER if levels < 0 else FROM_FINER
    is_long = (not levels and columns > 1) or (not columns and abs(levels) > 1)
    arrow = FancyArrowPatch(
        start,
        end,
        connectionstyle=f"arc3,rad={-0.35 if is_long else 0}",
        arrowstyle="-|>",
        mutation_scale=9,
        shrinkA=7,
        shrinkB=7,
        color=colour,
        linewidth=1.3,
    )
    axes.add_patch(arrow)


def draw_neck(axes: Axes, title: str, nodes: Nodes) -> None:
    """Draws one cell of a neck: levels upwards, the way through it to the right."""
    placed = places(nodes)
    for node in nodes:
        for name in node.inputs:
            draw_edge(axes, placed[name], placed[node.name])
    convolved = {node.name for node in nodes if node.has_conv}
    for name, place in placed.items():
        fill = "#222222" if name in convolved else "white"
        marker = "s" if name.endswith("_in") else "o"
        axes.plot(*place, marker, ms=9, mfc=fill, mec="#222222", mew=1.3)
    last = max(place.column for place in placed.values())
    axes.set(xlim=(-0.5, last + 0.6), ylim=(BOTTOM - 0.6, TOP + 0.6), title=title)
    axes.set_yticks(range(BOTTOM, TOP + 1), [f"P{n}" for n in range(BOTTOM, TOP + 1)])
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def necks() -> Figure:
    """Returns four necks side by side."""
    figure, row = plt.subplots(1, len(SHOWN), figsize=(10, 3.6), layout="constrained")
    for axes, (name, title) in zip(row, SHOWN.items(), strict=True):
        draw_neck(axes, title, NECKS[name](BOTTOM, TOP))
    handles = [
        *(
            plt.Line2D([], [], color=colour, label=label)
            for colour, label in (
                (FROM_COARSER, "from a coarser level"),
                (FROM_FINER, "from a finer level"),
                (SAME, "same level"),
            )
        ),
        *(
            plt.Line2D(
                [], [], ls="", marker=m, mfc=fill, mec="#222222", ms=8, label=label
            )
            for m, fill, label in (
                ("s", "white", "input of the cell"),
                ("o", "white", "fusion alone"),
                ("o", "#222222", "fusion and convolution"),
            )
        ),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


Quantity = tuple[str, Callable[[scaling.DetectorSize], float]]

PANELS: Sequence[tuple[str, Sequence[Quantity]]] = (
    ("image, pixels", [("", lambda size: size.image_size)]),
    (
        "backbone, as multiples of B0",
        [
            ("width", lambda size: size.backbone_width),
            ("depth", lambda size: size.backbone_depth),
        ],
    ),
    ("BiFPN, channels", [("", lambda size: size.neck_width)]),
    (
        "how often",
        [
            ("BiFPN cells", lambda size: size.neck_repeats),
            ("convolutions of a head", lambda size: size.head_repeats),
        ],
    ),
)


def sizes() -> Figure:
    """Returns what phi scales: the law as lines, the published models as dots."""
    figure, grid = plt.subplots(2, 2, figsize=(9, 5.6), layout="constrained")
    law = [scaling.detector_law(phi) for phi in PHIS]
    published = [phi for phi in scaling.DETECTORS if isinstance(phi, int)]
    for axes, (title, quantities) in zip(grid.flat, PANELS, strict=True):
        colours = (FROM_COARSER, FROM_FINER)
        for colour, (label, read) in zip(colours, quantities, strict=False):
            axes.plot(PHIS, [read(size) for size in law], color=colour, label=label)
            dots = [read(scaling.DETECTORS[phi]) for phi in published]
            axes.plot(published, dots, "o", color=colour)
        if len(quantities) > 1:
            axes.legend(frameon=False)
        axes.set(title=title, xlabel="φ")
        axes.grid(alpha=0.3)
    figure.suptitle("lines: the law; dots: D0 to D7 as published")
    return figure


class Box(NamedTuple):
    """A part of the network in the picture of its flow."""

    title: str
    lines: Sequence[str]


def shapes() -> list[Box]:
    """Returns the parts of D0 and what each of them hands on."""
    settings = config.get_config("table", 0)
    model = assemble.detector(settings, 90).model
    size = settings.image_size
    variables = detector.abstract_variables(model, size)
    outputs, captured = jax.eval_shape(
        functools.partial(
            model.apply,
            train=False,
            capture_intermediates=lambda m, _: m.name in ("backbone", "neck"),
        ),
        variables,
        jax.ShapeDtypeStruct((1, *size, 3), "float32"),
    )
    features = {
        part: captured["intermediates"][part]["__call__"][0]
        for part in ("backbone", "neck")
    }

    def rows(part: str, letter: str) -> list[str]:
        return [
            f"{letter}{level}  {' x '.join(map(str, feature.shape[1:]))}"
            for level, feature in sorted(features[part].items())
            if level >= settings.model.levels[0]
        ]

    grid = anchors.anchor_grid(
        size, levels=settings.model.levels, **settings.model.anchors
    )
    _, num_anchors, num_classes = outputs.class_logits.shape
    return [
        Box("image", [" x ".join(map(str, (*size, 3)))]),
        Box("backbone", rows("backbone", "C")),
        Box("neck", rows("neck", "P")),
        Box(
            "heads",
            [
                f"classes  {num_anchors} x {num_classes}",
                f"boxes  {num_anchors} x {outputs.box_codes.shape[2]}",
            ],
        ),
        Box("anchors", [f"{len(grid)} x 4"]),
        Box("detections", [f"at most {settings.postprocess.max_detections}"]),
    ]


def flow() -> Figure:
    """Returns the way from an image to detections, with D0's shapes."""
    figure, axes = plt.subplots(figsize=(10, 2.3), layout="constrained")
    left = 0.0
    for number, box in enumerate(shapes()):
        width = 0.62 + 0.083 * max(map(len, (*box.lines, box.title)))
        patch = FancyBboxPatch(
            (left, -0.95), width, 1.9, "round,pad=0,rounding_size=0.1", fc="#eef3fb"
        )
        axes.add_patch(patch)
        middle = left + width / 2
        axes.text(middle, 0.68, box.title, ha="center", va="center", weight="bold")
        text = "\n".join(box.lines)
        axes.text(middle, -0.15, text, ha="center", va="center", size=9)
        if number:
            axes.annotate(
                "", (left, 0), (left - 0.35, 0), arrowprops={"arrowstyle": "-|>"}
            )
        left += width + 0.35
    axes.set(xlim=(-0.1, left - 0.25), ylim=(-1.1, 1.1))
    axes.set_axis_off()
    return figure


def main() -> None:
    """Writes the pictures."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    for name, figure in (("necks", necks()), ("scaling", sizes()), ("flow", flow())):
        path = FOLDER / f"{name}.png"
        figure.savefig(path, dpi=110, metadata={"Software": None})
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
