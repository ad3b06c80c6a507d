"""Laying out a scene: what stands where, drawn from a seed.

Lengths are in scene units, the shorter image side being 1, so that the same scene can
be drawn at any size.
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from efdet_jax.data.drawing import raster
from efdet_jax.data.figures import SHAPES, TEXTURES, Figure, arc, rotation

SPLITS = ("train", "val")
"""A split is part of the seed: no scene of one is ever drawn for the other."""

CLASSES: tuple[tuple[str, str], ...] = tuple(
    (texture, shape) for texture in TEXTURES for shape in SHAPES
)
"""Texture and shape of every class; the first eight are all the solid shapes."""

_MIN_VISIBLE = 0.45
"""Objects are placed so that this share of each can be seen, by 64 sample points."""
_ATTEMPTS = 24
"""Places tried for one object before the scene goes without it."""
_RASTER = 64
"""Cells per axis of the table that answers "is this point inside of the shape"."""


class Settings(NamedTuple):
    """What a scene depends on, apart from its index and its size in pixels."""

    split: str
    seed: int
    num_classes: int
    imbalance: float
    min_objects: int
    max_objects: int
    min_size: float
    max_size: float
    clutter: float
    overlap: float


class Scene(NamedTuple):
    """What one image shows, the later figures covering the earlier."""

    ground: Float[np.ndarray, "gh gw 3"]
    """A coarse grid of colours, to be enlarged to the image."""
    distractors: tuple[Figure, ...]
    objects: tuple[Figure, ...]
    classes: tuple[int, ...]


def make_rng(settings: Settings, i: int, *, stream: int) -> np.random.Generator:
    """Returns the random numbers of image `i`; streams do not disturb each other."""
    key = (settings.seed, SPLITS.index(settings.split), i, stream)
    return np.random.default_rng(key)


@functools.lru_cache(maxsize=64)  # An image and its annotations are asked for together.
def lay_out(settings: Settings, i: int, extent: tuple[float, float]) -> Scene:
    """Returns scene `i`; `extent` is its height and width, the shorter one 1."""
    rng = make_rng(settings, i, stream=0)
    ground, tones = _lay_ground(rng, extent, settings.clutter)
    distractors = tuple(
        _lay_distractor(rng, extent) for _ in range(rng.poisson(25 * settings.clutter))
    )
    contrast = 150 - 90 * settings.clutter
    wanted = int(rng.integers(settings.min_objects, settings.max_objects + 1))
    objects: list[Figure] = []
    classes: list[int] = []
    cover = _Cover(extent, settings.overlap)
    for _ in range(wanted):
        class_id = _pick_class(rng, settings)
        texture, shape = CLASSES[class_id]
        place = _find_place(rng, cover, shape, settings)
        if place is None:
            continue
        centre, angle, radius = place
        first = _pick_colour(rng, tones, contrast)
        second = _pick_colour(rng, np.concatenate([tones, first[None]]), contrast)
        objects.append(
            Figure(
                contours=SHAPES[shape],
                texture=texture,
                colours=np.stack([first, second]),
                centre=centre,
                angle=angle,
                radius=radius,
            )
        )
        classes.append(class_id)
    return Scene(ground, distractors, tuple(objects), tuple(classes))


def _pick_class(rng: np.random.Generator, settings: Settings) -> int:
    """Returns a class; the training split shows some of them more often.

    Source: Cui et al. 2019 (Class-balanced loss), section 5.1: long-tailed CIFAR.
    """
    number = settings.num_classes
    if settings.imbalance == 1 or settings.split != "train":
        return int(rng.integers(number))
    odds = settings.imbalance ** -np.linspace(0, 1, number)
    return int(rng.choice(number, p=odds / odds.sum()))


def _find_place(
    rng: np.random.Generator, cover: "_Cover", shape: str, settings: Settings
) -> tuple[np.ndarray, float, float] | None:
    """Returns centre, angle and radius; each refused place shrinks the next try."""
    size = float(np.exp(rng.uniform(*np.log([settings.min_size, settings.max_size]))))
    extent = np.array(cover.extent)
    for _ in range(_ATTEMPTS):
        angle = float(rng.uniform(0, 2 * np.pi))
        turned = SHAPES[shape][0] @ rotation(angle).T
        low, high = turned.min(axis=0), turned.max(axis=0)
        radius = size / float((high - low).max())
        half = (high - low) * radius / 2
        inset = half * (1 - 2 * settings.overlap)
        middle = rng.uniform(inset, extent - inset)
        box = np.concatenate([middle - half, middle + half])
        centre = middle - (low + high) / 2 * radius
        if cover.place(shape, box, centre, angle, radius):
            return centre, angle, radius
        size = max(settings.min_size, size * 0.9)
    return None


class _Cover:
    """Keeps count of which part of each object the later ones leave visible."""

    def __init__(self, extent: tuple[float, float], overlap: float) -> None:
        self.extent = extent
        self._overlap = overlap
        self._boxes = np.zeros((0, 4))
        self._points = np.zeros((0, len(_SAMPLES["disc"]), 2))
        self._visible = np.zeros(self._points.shape[:2], bool)

    def place(
        self,
        shape: str,
        box: Float[np.ndarray, " 4"],
        centre: Float[np.ndarray, " 2"],
        angle: float,
        radius: float,
    ) -> bool:
        """Adds an object on top, unless it or one below would be hidden too much."""
        if (_iou(box, self._boxes) > self._overlap).any():
            return False
        turn = rotation(angle)
        points = centre + radius * (_SAMPLES[shape] @ turn.T)
        inside = ((points >= 0) & (points < self.extent)).all(axis=1)
        below = self._visible
        if len(below):
            local = (self._points - centre) @ turn / radius
            below = below & ~_is_inside(local, shape)
        visible = np.vstack([below, inside])
        if (visible.mean(axis=1) < _MIN_VISIBLE).any():
            return False
        self._boxes = np.concatenate([self._boxes, box[None]])
        self._points = np.concatenate([self._points, points[None]])
        self._visible = visible
        return True


def _lay_ground(
    rng: np.random.Generator, extent: tuple[float, float], clutter: float
) -> tuple[Float[np.ndarray, "gh gw 3"], Float[np.ndarray, "2 3"]]:
    """Returns a coarse grid, a colour gradient with soft spots, and its two ends."""
    first = rng.uniform(20, 235, 3)
    tones = np.stack([first, np.clip(first + rng.uniform(-60, 60, 3), 0, 255)])
    rows, columns = (round(10 * side) for side in extent)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = (
        np.sin(angle) * np.linspace(-0.5, 0.5, rows)[:, None]
        + np.cos(angle) * np.linspace(-0.5, 0.5, columns)[None, :]
    )
    share = np.clip(ramp + 0.5, 0, 1)[:, :, None]
    spots = rng.normal(0, 5 + 20 * clutter, (rows, columns, 1))
    ground = tones[0] * (1 - share) + tones[1] * share + spots
    return ground.astype(np.float32), tones


_ALONG = np.linspace(-1, 1, 9)
_OCTAGON = arc(0, 360, radius=1.0)[:-1:4]


def _lay_distractor(rng: np.random.Generator, extent: tuple[float, float]) -> Figure:
    """Returns a stroke or an irregular blob, of any colour and often textured."""
    if rng.random() < 0.5:
        bow, tilt, width = rng.uniform((-0.4, -0.3, 0.02), (0.4, 0.3, 0.08))
        bend = bow * (_ALONG**2 - 1) + tilt * _ALONG
        rows = np.concatenate([bend + width, bend[::-1] - width])
        contour = np.stack([rows, np.concatenate([_ALONG, _ALONG[::-1]])], axis=1)
        texture = "solid"
    else:
        contour = _OCTAGON * rng.uniform(0.45, 1.0, (8, 1))
        contour[:, 0] *= rng.uniform(0.4, 1.0)
        texture = TEXTURES[rng.integers(len(TEXTURES))]
    return Figure(
        contours=(contour,),
        texture=texture,
        colours=rng.uniform(0, 255, (2, 3)),
        centre=rng.uniform((0, 0), extent),
        angle=float(rng.uniform(0, 2 * np.pi)),
        radius=float(np.exp(rng.uniform(np.log(0.02), np.log(0.35)))),
    )


def _pick_colour(
    rng: np.random.Generator, others: Float[np.ndarray, "n 3"], contrast: float
) -> Float[np.ndarray, " 3"]:
    """Returns a random colour, `contrast` away from the others where that exists."""
    candidates = rng.uniform(0, 255, (16, 3))
    distance = np.linalg.norm(candidates[:, None] - others[None], axis=2).min(axis=1)
    enough = np.minimum(distance, contrast)
    return candidates[enough.argmax()]


def _iou(
    box: Float[np.ndarray, " 4"], boxes: Float[np.ndarray, "n 4"]
) -> Float[np.ndarray, " n"]:
    overlap = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    intersection = overlap.clip(0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return intersection / ((box[2:] - box[:2]).prod() + areas - intersection)


_INSIDE = {
    name: raster(
        contours, scale=_RASTER / 2, offset=np.array([-1, -1]), shape=(_RASTER, _RASTER)
    )
    > 0
    for name, contours in SHAPES.items()
}


def _sample_points(inside: Bool[np.ndarray, "r r"]) -> Float[np.ndarray, "64 2"]:
    """Returns 64 points spread evenly over a shape, to estimate what is visible."""
    cells = np.argwhere(inside)
    cells = cells[np.random.default_rng(0).permutation(len(cells))[:64]]
    return (cells + 0.5) / (_RASTER / 2) - 1


_SAMPLES = {name: _sample_points(inside) for name, inside in _INSIDE.items()}


def _is_inside(points: Float[np.ndarray, "*n 2"], shape: str) -> Bool[np.ndarray, "*n"]:
    cells = np.floor((points + 1) * (_RASTER / 2)).astype(np.int32)
    known = ((cells >= 0) & (cells < _RASTER)).all(axis=-1)
    cells = cells.clip(0, _RASTER - 1)
    return known & _INSIDE[shape][cells[..., 0], cells[..., 1]]
