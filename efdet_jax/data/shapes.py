"""A data set that is drawn on the fly: shapes with textures on cluttered backgrounds.

It needs no disk and no download, and its difficulty is a parameter: from one large disc
on a plain ground to thirty-two classes, twenty objects down to a few pixels, occlusion
and distractors, where a larger network and a larger image really score higher.

A scene is laid out in units of the shorter image side, so that the same scene can be
drawn at any size; only the fine grain of the noise belongs to the pixels.
"""

import functools
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from efdet_jax.data.labels import LabelMap
from efdet_jax.errors import UsageError
from efdet_jax.structures import Annotations

SPLITS = ("train", "val")
"""A split is part of the seed: no scene of one is ever drawn for the other."""

TEXTURES = ("solid", "striped", "checkered", "dotted")

_MIN_VISIBLE = 0.45
"""Objects are placed so that this share of each can be seen, by 64 sample points."""
_ATTEMPTS = 24
"""Places tried for one object before the scene goes without it."""
_TEXTURE_PERIOD = 0.5
"""In units of a shape's radius: four stripes across a disc."""
_SUPERSAMPLING = 4
"""Sub-pixels per pixel and axis. cv2's own LINE_AA widens a shape by 0.7 pixels."""
_RASTER = 64
"""Cells per axis of the table that answers "is this point inside of the shape"."""


class _Settings(NamedTuple):
    """What a scene depends on, apart from its index and its size in pixels."""

    split: str
    seed: int
    num_classes: int
    min_objects: int
    max_objects: int
    min_size: float
    max_size: float
    clutter: float
    overlap: float


class _Figure(NamedTuple):
    """A filled outline: outer contour, then holes; in scene units (y, x)."""

    contours: tuple[np.ndarray, ...]
    texture: str
    colours: Float[np.ndarray, "2 3"]
    centre: Float[np.ndarray, " 2"]
    angle: float
    radius: float


class _Scene(NamedTuple):
    ground: Float[np.ndarray, "gh gw 3"]
    distractors: tuple[_Figure, ...]
    objects: tuple[_Figure, ...]
    classes: tuple[int, ...]


def _rotation(angle: float) -> Float[np.ndarray, "2 2"]:
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def _arc(
    start: float, stop: float, *, radius: float, centre_x: float = 0.0
) -> Float[np.ndarray, "n 2"]:
    angles = np.radians(np.linspace(start, stop, 33))
    return np.stack(
        [radius * np.sin(angles), centre_x + radius * np.cos(angles)], axis=1
    )


def _star(tips: int, inner_radius: float) -> Float[np.ndarray, "n 2"]:
    angles = np.arange(2 * tips) * np.pi / tips
    radii = np.where(np.arange(2 * tips) % 2 == 0, 1.0, inner_radius)
    return np.stack([radii * np.sin(angles), radii * np.cos(angles)], axis=1)


SHAPES: dict[str, tuple[np.ndarray, ...]] = {
    "disc": (_arc(0, 360, radius=1.0),),
    "triangle": (_star(3, 0.5),),
    "cross": (
        np.concatenate(
            [
                np.array([[0.29, 0.29], [0.29, 0.95], [-0.29, 0.95]]) @ _rotation(turn)
                for turn in np.radians([0, 270, 180, 90])
            ]
        ),
    ),
    "ring": (_arc(0, 360, radius=1.0), _arc(0, 360, radius=0.58)),
    "square": (np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * 0.7,),
    "star": (_star(5, 0.42),),
    "crescent": (
        np.concatenate(
            [
                _arc(51.3, 308.7, radius=1.0),
                _arc(282.6, 77.4, radius=0.8, centre_x=0.45),
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

CLASSES: tuple[tuple[str, str], ...] = tuple(
    (texture, shape) for texture in TEXTURES for shape in SHAPES
)
"""Texture and shape of every class; the first eight are all the solid shapes."""


class Shapes:
    """Draws image `i` from the seed: the same one always, in any order and thread."""

    def __init__(
        self,
        *,
        split: str,
        seed: int,
        num_images: int,
        image_size: tuple[int, int],
        num_classes: int,
        min_objects: int,
        max_objects: int,
        min_size: float,
        max_size: float,
        clutter: float,
        overlap: float,
    ):
        """Checks and keeps what the scenes are drawn from.

        Args:
          split: `train` or `val`, which never share a scene.
          seed: of the whole data set.
          num_images: of this split.
          image_size: height and width in pixels; the layout does not depend on it, but
            on its aspect ratio.
          num_classes: the first so many of `CLASSES`.
          min_objects: fewest objects drawn; a scene that has no place left gets fewer.
          max_objects: most objects drawn.
          min_size: shortest longer box side, in shares of the shorter image side.
          max_size: longest longer box side; sizes between are uniform in logarithm.
          clutter: 0 plain ground and strong contrast, 1 dense distractors of any
            colour, texture and size, noise and weak contrast.
          overlap: how much may hide: the largest IoU of two boxes, and the largest
            share of a box side that lies outside of the image.

        Raises:
          UsageError: if a value is outside of its range.
        """
        self._settings = _Settings(
            split=split,
            seed=seed,
            num_classes=num_classes,
            min_objects=min_objects,
            max_objects=max_objects,
            min_size=min_size,
            max_size=max_size,
            clutter=clutter,
            overlap=overlap,
        )
        _check("num_images", num_images, num_images >= 1, "use at least 1")
        _check("image_size", image_size, min(image_size) >= 16, "use at least 16 px")
        _check_settings(self._settings)
        self._num_images = num_images
        self._image_size = image_size
        self.labels = LabelMap(
            ids=tuple(range(1, num_classes + 1)),
            names=tuple(f"{t} {s}" for t, s in CLASSES[:num_classes]),
        )

    def __len__(self) -> int:
        return self._num_images

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Draws image `i`, RGB."""
        height, width = self._image_size
        scale = min(height, width)
        scene = self._scene(i)
        canvas = cv2.resize(
            scene.ground, (width, height), interpolation=cv2.INTER_CUBIC
        )
        canvas = np.clip(canvas, 0, 255).astype(np.uint8)
        for figure in scene.distractors + scene.objects:
            _paint(canvas, figure, scale=scale)
        return _add_noise(
            canvas,
            rng=_rng(self._settings, i, stream=1),
            amplitude=6 + 30 * self._settings.clutter,
        )

    def annotations(self, i: int) -> Annotations:
        """Returns the objects of image `i`, computed from their outlines.

        A box is tight around the part of its object inside of the image, whether or not
        another object covers some of it; `area` is that of the outline, likewise.
        """
        height, width = self._image_size
        scale = min(height, width)
        scene = self._scene(i)
        boxes = np.zeros((len(scene.objects), 4), np.float32)
        areas = np.zeros((len(scene.objects),), np.float32)
        for row, figure in enumerate(scene.objects):
            contours = [
                _clip_polygon(c * scale, height=height, width=width)
                for c in _world_contours(figure)
            ]
            boxes[row] = (*contours[0].min(axis=0), *contours[0].max(axis=0))
            outer, *holes = map(_polygon_area, contours)
            areas[row] = outer - sum(holes)
        return Annotations(
            image_id=int(i),
            height=height,
            width=width,
            boxes=boxes,
            classes=np.array(scene.classes, np.int32),
            is_crowd=np.zeros((len(scene.objects),), bool),
            area=areas,
        )

    def _scene(self, i: int) -> _Scene:
        if not 0 <= i < self._num_images:
            raise IndexError(f"image {i} of {self._num_images}")
        height, width = self._image_size
        extent = (height / min(height, width), width / min(height, width))
        return _lay_out(self._settings, i, extent)


def _check(name: str, value: object, holds: bool, remedy: str) -> None:
    if not holds:
        raise UsageError(f"shapes: {name} is {value!r}; {remedy}")


def _check_settings(s: _Settings) -> None:
    sizes = (s.min_size, s.max_size)
    counts = (s.min_objects, s.max_objects)
    classes = len(CLASSES)
    for name, value, holds, remedy in (
        ("split", s.split, s.split in SPLITS, f"use one of {', '.join(SPLITS)}"),
        ("seed", s.seed, s.seed >= 0, "use 0 or more"),
        (
            "num_classes",
            s.num_classes,
            1 <= s.num_classes <= classes,
            f"use 1..{classes}",
        ),
        (
            "min_objects, max_objects",
            counts,
            0 <= counts[0] <= counts[1],
            "use 0 <= min <= max",
        ),
        (
            "min_size, max_size",
            sizes,
            0 < sizes[0] <= sizes[1] <= 1,
            "use 0 < min <= max <= 1",
        ),
        ("clutter", s.clutter, 0 <= s.clutter <= 1, "use 0 to 1"),
        ("overlap", s.overlap, 0 <= s.overlap <= 1, "use 0 to 1"),
    ):
        _check(name, value, holds, remedy)


def _rng(settings: _Settings, i: int, *, stream: int) -> np.random.Generator:
    key = (settings.seed, SPLITS.index(settings.split), i, stream)
    return np.random.default_rng(key)


# --- Layout: everything below is in scene units, the shorter image side being 1. ---


@functools.lru_cache(maxsize=64)  # An image and its annotations are asked for together.
def _lay_out(settings: _Settings, i: int, extent: tuple[float, float]) -> _Scene:
    rng = _rng(settings, i, stream=0)
    ground, tones = _lay_ground(rng, extent, settings.clutter)
    distractors = tuple(
        _lay_distractor(rng, extent) for _ in range(rng.poisson(25 * settings.clutter))
    )
    contrast = 150 - 90 * settings.clutter
    wanted = int(rng.integers(settings.min_objects, settings.max_objects + 1))
    objects: list[_Figure] = []
    classes: list[int] = []
    cover = _Cover(extent, settings.overlap)
    for _ in range(wanted):
        class_id = int(rng.integers(settings.num_classes))
        texture, shape = CLASSES[class_id]
        place = _find_place(rng, cover, shape, settings)
        if place is None:
            continue
        centre, angle, radius = place
        first = _pick_colour(rng, tones, contrast)
        second = _pick_colour(rng, np.concatenate([tones, first[None]]), contrast)
        objects.append(
            _Figure(
                contours=SHAPES[shape],
                texture=texture,
                colours=np.stack([first, second]),
                centre=centre,
                angle=angle,
                radius=radius,
            )
        )
        classes.append(class_id)
    return _Scene(ground, distractors, tuple(objects), tuple(classes))


def _find_place(
    rng: np.random.Generator, cover: "_Cover", shape: str, settings: _Settings
) -> tuple[np.ndarray, float, float] | None:
    """Returns centre, angle and radius; each refused place shrinks the next try."""
    size = float(np.exp(rng.uniform(*np.log([settings.min_size, settings.max_size]))))
    extent = np.array(cover.extent)
    for _ in range(_ATTEMPTS):
        angle = float(rng.uniform(0, 2 * np.pi))
        turned = SHAPES[shape][0] @ _rotation(angle).T
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
        rotation = _rotation(angle)
        points = centre + radius * (_SAMPLES[shape] @ rotation.T)
        inside = ((points >= 0) & (points < self.extent)).all(axis=1)
        below = self._visible
        if len(below):
            local = (self._points - centre) @ rotation / radius
            below = below & ~_is_inside(local, shape)
        visible = np.concatenate([below, inside[None]])
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
_OCTAGON = _arc(0, 360, radius=1.0)[:-1:4]


def _lay_distractor(rng: np.random.Generator, extent: tuple[float, float]) -> _Figure:
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
    return _Figure(
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


# --- Geometry ---


def _world_contours(figure: _Figure) -> list[np.ndarray]:
    turn = _rotation(figure.angle).T * figure.radius
    return [figure.centre + contour @ turn for contour in figure.contours]


def _iou(
    box: Float[np.ndarray, " 4"], boxes: Float[np.ndarray, "n 4"]
) -> Float[np.ndarray, " n"]:
    overlap = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    intersection = overlap.clip(0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return intersection / ((box[2:] - box[:2]).prod() + areas - intersection)


def _clip_polygon(
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


def _polygon_area(polygon: Float[np.ndarray, "n 2"]) -> float:
    y, x = polygon.T
    inner = np.dot(y[:-1], x[1:]) - np.dot(x[:-1], y[1:])
    return abs(float(inner + y[-1] * x[0] - x[-1] * y[0])) / 2


def _raster(
    contours: tuple[np.ndarray, ...],
    *,
    scale: float,
    offset: np.ndarray,
    shape: tuple[int, int],
) -> UInt8[np.ndarray, "h w"]:
    """Fills outlines (even-odd) on a grid whose cell (r, c) covers [r, r+1] x [c, c+1].

    Contours are moved by `-offset`, then multiplied by `scale`.
    """
    mask = np.zeros(shape, np.uint8)
    fraction_bits = 4
    points = [
        np.round(((c - offset) * scale - 0.5)[:, ::-1] * 2**fraction_bits)
        for c in contours
    ]
    cv2.fillPoly(mask, [p.astype(np.int32) for p in points], 255, shift=fraction_bits)
    return mask


_INSIDE = {
    name: _raster(
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


# --- Drawing ---


def _paint(
    canvas: UInt8[np.ndarray, "h w 3"], figure: _Figure, *, scale: float
) -> None:
    """Draws a figure onto the canvas, in place, touching its surroundings only."""
    contours = [c * scale for c in _world_contours(figure)]
    limit = canvas.shape[:2]
    low = np.clip(np.floor(contours[0].min(axis=0)).astype(int) - 1, 0, limit)
    high = np.clip(np.ceil(contours[0].max(axis=0)).astype(int) + 1, 0, limit)
    height, width = (int(side) for side in high - low)
    if height <= 0 or width <= 0:
        return
    mask = _raster(
        tuple(contours),
        scale=_SUPERSAMPLING,
        offset=low,
        shape=(height * _SUPERSAMPLING, width * _SUPERSAMPLING),
    )
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
    alpha = mask[:, :, None] * np.float32(1 / 255)
    colours = figure.colours.astype(np.float32)
    fill = colours[0]
    if figure.texture != "solid":
        share = _texture_share(figure, low=low, height=height, width=width, scale=scale)
        fill = fill + share[:, :, None] * (colours[1] - colours[0])
    window = canvas[low[0] : high[0], low[1] : high[1]]
    window[:] = window + alpha * (fill - window) + np.float32(0.5)


def _texture_share(
    figure: _Figure,
    *,
    low: np.ndarray,
    height: int,
    width: int,
    scale: float,
) -> Float[np.ndarray, "h w"]:
    """Returns how much of each pixel the second colour has; soft at pattern edges."""
    turn = (_rotation(figure.angle) / (figure.radius * scale)).astype(np.float32)
    start = (low + 0.5 - figure.centre * scale).astype(np.float32)
    y = start[0] + np.arange(height, dtype=np.float32)[:, None]
    x = start[1] + np.arange(width, dtype=np.float32)[None, :]
    phase_y, phase_x = (
        (y * turn[0, axis] + x * turn[1, axis]) / np.float32(_TEXTURE_PERIOD)
        for axis in (0, 1)
    )
    period = np.float32(_TEXTURE_PERIOD * figure.radius * scale)
    if figure.texture == "dotted":
        off_y, off_x = phase_y % 1 - 0.5, phase_x % 1 - 0.5
        distance = (0.33 - np.sqrt(off_y * off_y + off_x * off_x)) * period
        return np.clip(0.5 + distance, 0, 1)
    wave_y = np.clip((np.abs(phase_y % 1 - 0.5) - 0.25) * (2 * period), -1, 1)
    if figure.texture == "striped":
        return 0.5 + 0.5 * wave_y
    wave_x = np.clip((np.abs(phase_x % 1 - 0.5) - 0.25) * (2 * period), -1, 1)
    return 0.5 + 0.5 * wave_y * wave_x


def _add_noise(
    canvas: UInt8[np.ndarray, "h w 3"], *, rng: np.random.Generator, amplitude: float
) -> UInt8[np.ndarray, "h w 3"]:
    """Adds uniform noise of +-amplitude: raw bytes cost a tenth of normals."""
    grain = np.frombuffer(rng.bytes(canvas.size), np.int8).reshape(canvas.shape)
    return (
        cv2.scaleAdd(
            grain.astype(np.float32), amplitude / 128, canvas.astype(np.float32)
        )
        .clip(0, 255)
        .astype(np.uint8)
    )
