"""A data set that is drawn on the fly: shapes with textures on cluttered backgrounds.

It needs no disk and no download, and its difficulty is a parameter: from one large disc
on a plain ground to thirty-two classes, twenty objects down to a few pixels, occlusion
and distractors, where a larger network and a larger image really score higher.

A scene is laid out in units of the shorter image side, so that the same scene can be
drawn at any size; only the fine grain of the noise belongs to the pixels.
"""

import cv2
import numpy as np
from jaxtyping import UInt8

from efdet_jax.data import drawing, scenes
from efdet_jax.data.figures import clip_polygon, polygon_area, world_contours
from efdet_jax.data.flaws import Flaw
from efdet_jax.data.labels import LabelMap
from efdet_jax.errors import UsageError
from efdet_jax.structures import Annotations


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
        imbalance: float,
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
          num_classes: the first so many of `scenes.CLASSES`.
          imbalance: how many objects the first class has in `train` for one of the
            last; those between decay exponentially. `val` has as many of each.
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
        self._settings = scenes.Settings(
            split=split,
            seed=seed,
            num_classes=num_classes,
            imbalance=imbalance,
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
        self.flaws: tuple[Flaw, ...] = ()
        self._num_images = num_images
        self._image_size = image_size
        self.labels = LabelMap(
            ids=tuple(range(1, num_classes + 1)),
            names=tuple(f"{t} {s}" for t, s in scenes.CLASSES[:num_classes]),
        )

    def __len__(self) -> int:
        return self._num_images

    def title(self, i: int) -> str:
        """Names image `i`."""
        return f"shapes:{self._settings.split}, image {i}"

    def encoded(self, i: int) -> bytes:
        """Returns nothing: images are drawn."""
        del i
        return b""

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
            drawing.paint(canvas, figure, scale=scale)
        return drawing.add_noise(
            canvas,
            rng=scenes.make_rng(self._settings, i, stream=1),
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
                clip_polygon(c * scale, height=height, width=width)
                for c in world_contours(figure)
            ]
            boxes[row] = (*contours[0].min(axis=0), *contours[0].max(axis=0))
            outer, *holes = map(polygon_area, contours)
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

    def _scene(self, i: int) -> scenes.Scene:
        if not 0 <= i < self._num_images:
            raise IndexError(f"image {i} of {self._num_images}")
        height, width = self._image_size
        extent = (height / min(height, width), width / min(height, width))
        return scenes.lay_out(self._settings, i, extent)


def _check(name: str, value: object, holds: bool, remedy: str) -> None:
    if not holds:
        raise UsageError(f"shapes: {name} is {value!r}; {remedy}")


def _check_settings(s: scenes.Settings) -> None:
    sizes = (s.min_size, s.max_size)
    counts = (s.min_objects, s.max_objects)
    classes = len(scenes.CLASSES)
    for name, value, holds, remedy in (
        (
            "split",
            s.split,
            s.split in scenes.SPLITS,
            f"use one of {', '.join(scenes.SPLITS)}",
        ),
        ("seed", s.seed, s.seed >= 0, "use 0 or more"),
        (
            "num_classes",
            s.num_classes,
            1 <= s.num_classes <= classes,
            f"use 1..{classes}",
        ),
        ("imbalance", s.imbalance, s.imbalance >= 1, "use 1 (none) or more"),
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
