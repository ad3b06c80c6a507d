"""Draws what each augmentation does to images and boxes: docs/augmentations.jpg.

Usage: python scripts/draw_augmentations.py

The images are drawn `shapes`. On the left of each pair is what goes in, on the right
what comes out.
"""

import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from efdet_jax.config import IMAGENET
from efdet_jax.data.augment import geometry, mixing
from efdet_jax.data.augment.colour import colour_jitter
from efdet_jax.data.augment.example import Example, as_example
from efdet_jax.data.augment.geometry import Frame
from efdet_jax.data.shapes import Shapes
from efdet_jax.data.sound import read_sound
from efdet_jax.data.transforms import PAD_COLOURS

PATH = pathlib.Path(__file__).parents[1] / "docs" / "augmentations.jpg"
SIZE = (192, 192)
"""Of the network input."""
CELL = 176
"""Side of the square that every picture is shown in, pixels."""
GAP = 26
TITLE = 26
COLUMNS = 2

SOURCE = Shapes(
    split="val",
    seed=0,
    num_images=64,
    image_size=(160, 192),
    num_classes=8,
    imbalance=1.0,
    min_objects=2,
    max_objects=4,
    min_size=0.25,
    max_size=0.6,
    clutter=0.15,
    overlap=0.1,
)


def frame(low: float, high: float, padding: str = "mean") -> Frame:
    """Returns how scale jitter with these factors fills the input."""
    colour = PAD_COLOURS[padding](IMAGENET["mean"])
    return Frame(SIZE, "letterbox", (low, high), colour, min_visible=0.3)


class Row(NamedTuple):
    """One augmentation: what it is called, what goes in, and what it does."""

    title: str
    images: Sequence[int]
    seed: int
    change: Callable[[Sequence[Example], np.random.Generator], Example]


def _mixup(examples: Sequence[Example], rng: np.random.Generator) -> Example:
    first, second = (
        geometry.scale_jitter(example, rng, frame=frame(1.0, 1.0))
        for example in examples
    )
    return mixing.mixup(first, second, rng, beta=32.0)


ROWS = (
    Row(
        "horizontal flip",
        (0,),
        0,
        lambda given, rng: geometry.flip(given[0], rng, probability=1.0),
    ),
    Row(
        "standard scale jitter: jitter=(0.8,1.25)",
        (1,),
        0,
        lambda given, rng: geometry.scale_jitter(given[0], rng, frame=frame(0.8, 1.25)),
    ),
    Row(
        "large scale jitter: jitter=(0.1,2.0)",
        (2,),
        9,
        lambda given, rng: geometry.scale_jitter(given[0], rng, frame=frame(0.1, 2.0)),
    ),
    Row(
        "another draw, pad_colour=grey",
        (2,),
        11,
        lambda given, rng: geometry.scale_jitter(
            given[0], rng, frame=frame(0.1, 2.0, "grey")
        ),
    ),
    Row(
        "crop: below min_visible=0.3 a box goes",
        (7,),
        2,
        lambda given, rng: geometry.random_crop(
            given[0], rng, side=(0.5, 1.0), min_visible=0.3
        ),
    ),
    Row(
        "colour: hue 0.1, the others 0.4",
        (4,),
        0,
        lambda given, rng: colour_jitter(
            given[0], rng, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1
        ),
    ),
    Row(
        "mosaic, jitter=(0.8,1.25)",
        (5, 6, 3, 8),
        0,
        lambda given, rng: mixing.mosaic(given, rng, frame=frame(0.8, 1.25)),
    ),
    Row("mixup", (9, 10), 0, _mixup),
)


def shown(example: Example, side: int) -> np.ndarray:
    """Returns an example with its boxes on a white square of the given side."""
    factor = side / max(SIZE)
    size = tuple(round(length * factor) for length in example.image.shape[:2])
    picture = cv2.resize(example.image, size[::-1], interpolation=cv2.INTER_AREA)
    for box in example.boxes * factor:
        y0, x0, y1, x1 = (round(float(v)) for v in box)
        for inset, grey in ((0, 0), (1, 255)):  # two lines are seen on any ground
            low, high = (x0 + inset, y0 + inset), (x1 - 1 - inset, y1 - 1 - inset)
            cv2.rectangle(picture, low, high, (grey,) * 3, 1)
    canvas = np.full((side, side, 3), 255, np.uint8)
    canvas[: size[0], : size[1]] = picture
    cv2.rectangle(canvas, (0, 0), (size[1] - 1, size[0] - 1), (0, 0, 0), 1)
    return canvas


def pair(row: Row) -> np.ndarray:
    """Returns title, what goes in and what comes out."""
    given = [as_example(read_sound(SOURCE, i)) for i in row.images]
    changed = row.change(given, np.random.default_rng(row.seed))
    per_side = 1 if len(given) == 1 else 2
    before = np.full((CELL, CELL, 3), 255, np.uint8)
    for number, example in enumerate(given):
        small = shown(example, CELL // per_side - 2 * (per_side - 1))
        top, left = (CELL // per_side * i for i in divmod(number, per_side))
        before[top : top + len(small), left : left + len(small)] = small
    picture = np.full((TITLE + CELL + GAP, 2 * (CELL + GAP), 3), 255, np.uint8)
    picture[TITLE : TITLE + CELL, :CELL] = before
    picture[TITLE : TITLE + CELL, CELL + GAP : 2 * CELL + GAP] = shown(changed, CELL)
    middle = TITLE + CELL // 2
    ends = ((CELL + 5, middle), (CELL + GAP - 6, middle))
    cv2.arrowedLine(picture, *ends, (0, 0, 0), 1, cv2.LINE_AA, tipLength=0.4)
    font = cv2.FONT_HERSHEY_SIMPLEX
    place = (0, TITLE - 8)
    cv2.putText(picture, row.title, place, font, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return picture


def main() -> None:
    """Writes the picture."""
    pairs = [pair(row) for row in ROWS]
    lines = [
        np.concatenate(pairs[start : start + COLUMNS], axis=1)
        for start in range(0, len(pairs), COLUMNS)
    ]
    picture = cv2.copyMakeBorder(
        np.concatenate(lines), 6, 0, GAP, 0, cv2.BORDER_CONSTANT, value=(255,) * 3
    )
    quality = [cv2.IMWRITE_JPEG_QUALITY, 90]
    cv2.imwrite(str(PATH), picture[:, :, ::-1], quality)
    print(f"{PATH.name}: {picture.shape[1]} x {picture.shape[0]}")
    print(f"{PATH.stat().st_size} bytes")


if __name__ == "__main__":
    main()
