"""Pictures of what was found beside the truth, for people to look at."""

import colorsys
import pathlib
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from efdet_jax.replacing import replace_bytes
from efdet_jax.structures import IGNORED

Picture = UInt8[np.ndarray, "_ _ 3"]

SHOWN_SCORE = 0.3
"""Detections below are left out: nobody would act on them."""

_TRUTH_COLOUR = (255, 255, 255)
_RIGHT_COLOUR = (120, 255, 120)
_WRONG_COLOUR = (255, 120, 120)
_IGNORED_COLOUR = (170, 170, 170)
_ANCHOR_COLOUR = (255, 255, 160)
_SMALLEST_SIDE = 384
"""Smaller images are enlarged, or labels would cover them."""


def draw_comparison(
    image: Picture,
    boxes: Float[np.ndarray, "m 4"],
    classes: Int[np.ndarray, " m"],
    found_boxes: Float[np.ndarray, "d 4"],
    found_scores: Float[np.ndarray, " d"],
    found_classes: Int[np.ndarray, " d"],
    *,
    names: Sequence[str],
) -> Picture:
    """Returns the truth in white on the left, detections with scores on the right.

    Args:
      image: RGB, the network's input.
      boxes: true boxes in its pixels; rows of negative class are padding.
      classes: their classes.
      found_boxes: detections in its pixels, best first.
      found_scores: their scores.
      found_classes: their classes.
      names: of the classes.
    """
    large, factor = _enlarged(image)
    left, right = large.copy(), large.copy()
    for box, class_ in zip(boxes, classes, strict=True):
        if class_ >= 0:
            _draw_box(left, box * factor, names[class_], _TRUTH_COLOUR)
    # Worst first, so that the best is on top.
    for index in np.flatnonzero(found_scores >= SHOWN_SCORE)[::-1]:
        class_ = int(found_classes[index])
        label = f"{names[class_]} {found_scores[index]:.2f}"
        _draw_box(right, found_boxes[index] * factor, label, class_colour(class_))
    return np.concatenate([left, right], axis=1)


def draw_objects(
    image: Picture,
    boxes: Float[np.ndarray, "m 4"],
    classes: Int[np.ndarray, " m"],
    *,
    names: Sequence[str],
    anchors: Float[np.ndarray, "_ 4"],
) -> Picture:
    """Returns the image with its objects, and thinly the anchors that match them.

    Args:
      image: RGB, the network's input.
      boxes: true boxes in its pixels.
      classes: their classes; `IGNORED` is drawn in grey, other negatives not at all.
      names: of the classes.
      anchors: to be drawn.
    """
    large, factor = _enlarged(image)
    for y0, x0, y1, x1 in np.round(anchors * factor).astype(int).tolist():
        cv2.rectangle(large, (x0, y0), (x1, y1), _ANCHOR_COLOUR, 1)
    for box, class_ in zip(boxes, classes, strict=True):
        if class_ == IGNORED:
            _draw_box(large, box * factor, "ignored", _IGNORED_COLOUR)
        elif class_ >= 0:
            _draw_box(large, box * factor, names[class_], class_colour(int(class_)))
    return large


def draw_class(image: Picture, truth: str, found: str, *, is_right: bool) -> Picture:
    """Returns the image, enlarged, with its class and what was found instead below.

    Args:
      image: RGB, the network's input.
      truth: name of its class.
      found: name of the class found, and its score.
      is_right: colours the latter.
    """
    large, _ = _enlarged(image)
    font, size = cv2.FONT_HERSHEY_SIMPLEX, min(large.shape[:2]) / 600
    line = round(40 * size)
    strip = np.zeros((2 * line + line // 2, large.shape[1], 3), np.uint8)
    colours = (_TRUTH_COLOUR, _RIGHT_COLOUR if is_right else _WRONG_COLOUR)
    for row, (text, colour) in enumerate(zip((truth, found), colours, strict=True)):
        place = (line // 4, (row + 1) * line)
        cv2.putText(strip, text, place, font, size, colour, 1, cv2.LINE_AA)
    return np.concatenate([large, strip], axis=0)


def class_colour(class_: int) -> tuple[int, int, int]:
    """Returns a bright colour; neighbouring classes lie far apart on the circle."""
    golden_ratio = 0.618034
    hue = class_ * golden_ratio % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 1.0)
    return int(255 * red), int(255 * green), int(255 * blue)


def _enlarged(image: Picture) -> tuple[Picture, int]:
    """Returns an image in which labels have room, and by what it was multiplied."""
    factor = max(1, -(-_SMALLEST_SIDE // min(image.shape[:2])))
    size = (image.shape[1] * factor, image.shape[0] * factor)
    return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST), factor


def _draw_box(
    picture: Picture,
    box: Float[np.ndarray, " 4"],
    label: str,
    colour: tuple[int, int, int],
) -> None:
    y0, x0, y1, x1 = (round(float(v)) for v in box)
    thickness = max(1, round(min(picture.shape[:2]) / 300))
    cv2.rectangle(picture, (x0, y0), (x1, y1), colour, thickness, cv2.LINE_AA)
    font, size = cv2.FONT_HERSHEY_SIMPLEX, min(picture.shape[:2]) / 900
    (width, height), base = cv2.getTextSize(label, font, size, 1)
    # Above the box where there is room, else inside of it; never outside the picture.
    left = int(np.clip(x0, 0, max(0, picture.shape[1] - width)))
    bottom = y0 - base if y0 - base - height >= 0 else y0 + height + base
    cv2.rectangle(
        picture,
        (left, bottom - height - base // 2),
        (left + width, bottom + base),
        colour,
        cv2.FILLED,
    )
    cv2.putText(picture, label, (left, bottom), font, size, (0, 0, 0), 1, cv2.LINE_AA)


def write_pictures(folder: str, pictures: Sequence[Picture]) -> list[str]:
    """Writes PNG files `00.png`, `01.png`, … and returns their paths."""
    paths = []
    for index, picture in enumerate(pictures):
        path = f"{folder}/{index:02d}.png"
        encoded = cv2.imencode(".png", picture[:, :, ::-1])[1]
        replace_bytes(pathlib.Path(path), encoded.tobytes())
        paths.append(path)
    return paths
