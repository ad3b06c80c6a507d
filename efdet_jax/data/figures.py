"""The outlines that drawn scenes are made of, and their geometry.

Lengths are in scene units, the shorter image side being 1; points are (y, x).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

TEXTURES = ("solid", "striped", "checkered", "dotted")


class Figure(NamedTuple):
    """A filled outline: where it stands and how it is coloured."""

    contours: tuple[np.ndarray, ...]
    """The outer one, then holes; (y, x) inside of the unit circle."""
    texture: str
    colours: Float[np.ndarray, "2 3"]
    centre: Float[np.ndarray, " 2"]
    angle: float
    radius: float


def rotation(angle: float) -> Float[np.ndarray, "2 2"]:
    """Returns the matrix that turns a (y, x) column by `angle`, in radians."""
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def arc(
    start: float, stop: float, *, radius: float, centre_x: float = 0.0
) -> Float[np.ndarray, "n 2"]:
    """Returns points of a circle around (0, centre_x), angles in degrees."""
    angles = np.radians(np.linspace(start, stop, 33))
    return np.stack(
        [radius * np.sin(angles), centre_x + radius * np.cos(angles)], axis=1
    )


def _star(tips: int, inner_radius: float) -> Float[np.ndarray, "n 2"]:
    angles = np.arange(2 * tips) * np.pi / tips
    radii = np.where(np.arange(2 * tips) % 2 == 0, 1.0, inner_radius)
    return np.stack([radii * np.sin(angles), radii * np.cos(angles)], axis=1)


SHAPES: dict[str, tuple[np.ndarray, ...]] = {
    "disc": (arc(0, 360, radius=1.0),),
    "triangle": (_star(3, 0.5),),
    "cross": (
        np.concatenate(
            [
                np.array([[0.29, 0.29], [0.29, 0.95], [-0.29, 0.95]]) @ rotation(turn)
                for turn in np.radians([0, 270, 180, 90])
            ]
        ),
    ),
    "ring": (arc(0, 360, radius=1.0), arc(0, 360, radius=0.58)),
    "square": (np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * 0.7,),
    "star": (_star(5, 0.42),),
    "crescent": (
        np.concatenate(
            [
                arc(51.3, 308.7, radius=1.0),
                arc(282.6, 77.4, radius=0.8, centre_x=0.45),
            ]
        ),
    ),
    "arrow": (
        np.array(
            [
                [0, 1],
                [0.8, 0.1],
                [0.33, 0.1],
                [0.33, -0.9],
                [-0.33, -0.9],
                [-0.33, 0.1],
                [-0.8, 0.1],
            ]
        ),
    ),
}
"""Outlines (y, x) inside of the unit circle, the easily told ones first."""


def world_contours(figure: Figure) -> list[np.ndarray]:
    """Returns the contours where the figure stands, in scene units."""
    turn = rotation(figure.angle).T * figure.radius
    return [figure.centre + contour @ turn for contour in figure.contours]


def clip_polygon(
    polygon: Float[np.ndarray, "n 2"], *, height: int, width: int
) -> Float[np.ndarray, "m 2"]:
    """Cuts a polygon at the image border (Sutherland and Hodgman).

    A concave polygon may keep edges of no area along the border, which change neither
    its extent nor its area.
    """
    for axis, sign, limit in ((0, 1, 0), (0, -1, height), (1, 1, 0), (1, -1, width)):
        inside = sign * (polygon[:, axis] - limit)
        if inside.min() >= 0:
            continue
        following = np.roll(polygon, -1, axis=0)
        step = inside - np.roll(inside, -1)
        share = inside / np.where(step == 0, 1.0, step)
        crossing = polygon + share[:, None] * (following - polygon)
        crossing[:, axis] = limit  # Exactly: rounding must not leave the image.
        crosses = (inside >= 0) != (np.roll(inside, -1) >= 0)
        pairs = np.stack([polygon, crossing], axis=1)
        keep = np.stack([inside >= 0, crosses], axis=1)
        polygon = pairs[keep]
        if len(polygon) == 0:
            return np.zeros((1, 2))
    return polygon


def polygon_area(polygon: Float[np.ndarray, "n 2"]) -> float:
    """Returns the area inside of a polygon (the shoelace formula)."""
    y, x = polygon.T
    inner = np.dot(y[:-1], x[1:]) - np.dot(x[:-1], y[1:])
    return abs(float(inner + y[-1] * x[0] - x[-1] * y[0])) / 2
