"""Pictures of what was found beside the truth, for people to look at."""

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from efdet_jax.structures import BACKGROUND, IGNORED

Picture = UInt8[np.ndarray, "_ _ 3"]

SHOWN_SCORE = 0.3
"""Detections below are left out: nobody would act on them."""

_TRUTH_COLOUR = (255, 255, 255)
_RIGHT_COLOUR = (80, 235, 100)
_WRONG_COLOUR = (255, 85, 75)
_MISSED_COLOUR = (255, 210, 0)
_IGNORED_COLOUR = (170, 170, 170)
_ANCHOR_COLOUR = (255, 255, 160)
_VERDICTS = {
    BACKGROUND: ("wrong ", _WRONG_COLOUR),
    IGNORED: ("ignored ", _IGNORED_COLOUR),
}
"""What is said of a detection that has found no object."""
_SMALLEST_SIDE = 384
"""Smaller images are enlarged, or labels would cover them."""


def draw_comparison(
    image: Picture,
    boxes: Float[np.ndarray, "m 4"],
    classes: Int[np.ndarray, " m"],
    found_boxes: Float[np.ndarray, "d 4"],
    found_scores: Float[np.ndarray, " d"],
    found_classes: Int[np.ndarray, " d"],
    owner: Int[np.ndarray, " d"],
    *,
    names: Sequence[str],
) -> Picture:
    """Returns the truth in white on the left, and on the right what was made of it.

    There, detections that are right are green, wrong ones red, those in a crowd grey,
    and objects that none has found are yellow. All but the right ones say so.

    Args:
      image: RGB, the network's input.
      boxes: true boxes in its pixels.
      classes: their classes; `IGNORED` is a crowd, other negatives are padding.
      found_boxes: detections in its pixels, best first.
      found_scores: their scores.
      found_classes: their classes.
      owner: the row of the object that each has found, of `diagnosis.matching.match`.
      names: of the classes.
    """
    large, factor = _enlarged(image)
    left, right = large.copy(), large.copy()
    shown = np.flatnonzero(found_scores >= SHOWN_SCORE)
    for box in boxes[classes == IGNORED]:
        _draw_box(left, box * factor, "ignored", _IGNORED_COLOUR)
    marks = []
    for row in np.flatnonzero(classes >= 0):
        box, name = boxes[row] * factor, names[classes[row]]
        _draw_box(left, box, name, _TRUTH_COLOUR)
        if row not in owner[shown]:
            marks.append((box, box, f"missed {name}", _MISSED_COLOUR))
    # Worst first, so that the best is on top; no line crosses a label.
    for index in shown[::-1]:
        word, colour = _VERDICTS.get(int(owner[index]), ("", _RIGHT_COLOUR))
        box = found_boxes[index] * factor
        # At the foot of what is wrong, where it hides no label of what is there.
        place = box[[2, 1, 2, 3]] if owner[index] == BACKGROUND else box
        label = f"{word}{names[found_classes[index]]} {found_scores[index]:.2f}"
        marks.append((box, place, label, colour))
    for box, _, _, colour in marks:
        _draw_outline(right, box, colour)
    for _, place, label, colour in marks:
        _draw_label(right, place, label, colour)
    return np.concatenate([left, right], axis=1)


def draw_found(
    image: Picture,
    boxes: Float[np.ndarray, "d 4"],
    scores: Float[np.ndarray, " d"],
    classes: Int[np.ndarray, " d"],
    *,
    names: Sequence[str],
) -> Picture:
    """Returns the image, enlarged if it is small, with all that was found in it.

    Args:
      image: RGB.
      boxes: detections in its pixels, best first.
      scores: their scores.
      classes: their classes.
      names: of the classes.
    """
    large, factor = _enlarged(image)
    found = list(zip(boxes * factor, scores, classes.tolist(), strict=True))
    # Worst first, so that the best is on top; no line crosses a label.
    for box, _, class_ in reversed(found):
        _draw_outline(large, box, class_colour(class_))
    for box, score, class_ in reversed(found):
        label = f"{names[class_]} {score:.2f}"
        _draw_label(large, box, label, class_colour(class_))
    return large


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
    _draw_outline(picture, box, colour)
    _draw_label(picture, box, label, colour)


def _draw_outline(
    picture: Picture, box: Float[np.ndarray, " 4"], colour: tuple[int, int, int]
) -> None:
    y0, x0, y1, x1 = (round(float(v)) for v in box)
    thickness = max(1, round(min(picture.shape[:2]) / 300))
    cv2.rectangle(picture, (x0, y0), (x1, y1), colour, thickness, cv2.LINE_AA)


def _draw_label(
    picture: Picture,
    box: Float[np.ndarray, " 4"],
    label: str,
    colour: tuple[int, int, int],
) -> None:
    y0, x0 = (round(float(v)) for v in box[:2])
    side = min(picture.shape[:2])
    font, size, stroke = cv2.FONT_HERSHEY_SIMPLEX, side / 900, max(1, round(side / 700))
    (width, height), base = cv2.getTextSize(label, font, size, stroke)
    # What reaches below the line: OpenCV 5 counts it to the height.
    below = max(base, height // 4)
    margin = height // 4
    # Above the box where there is room, else inside of it; never outside the picture.
    left = int(np.clip(x0, 0, max(0, picture.shape[1] - width - 2 * margin)))
    top = y0 - height - below
    line = (top if top >= 0 else max(0, y0)) + height
    cv2.rectangle(
        picture,
        (left, line - height - base // 2),
        (left + width + 2 * margin, line + below),
        colour,
        cv2.FILLED,
    )
    place = (left + margin, line)
    cv2.putText(
        picture, label, place, font, size, text_colour(colour), stroke, cv2.LINE_AA
    )


def text_colour(background: tuple[int, int, int]) -> tuple[int, int, int]:
    """Returns black or white, whichever is easier to read on a colour.

    Source: WCAG 2, relative luminance and contrast ratio.
    """
    red, green, blue = (np.array(background) / 255) ** 2.2
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)


def as_png(picture: Picture) -> bytes:
    """Returns what a PNG file of a picture holds."""
    # OpenCV's own choice is five times as large, for 4 ms less.
    smaller = [cv2.IMWRITE_PNG_COMPRESSION, 6]
    _, png = cv2.imencode(".png", picture[:, :, ::-1], smaller)
    return png.tobytes()
