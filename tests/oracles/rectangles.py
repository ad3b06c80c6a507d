"""Images of plain rectangles, and where those are found again by looking at pixels."""

import numpy as np

from efdet_jax.data.augment.example import Example

GROUND = 10
"""Level of all channels around the rectangles."""


def level(row):
    """The level in which the rectangle of a row is drawn."""
    return 60 + 40 * row


def drawn(boxes, size, *, ground=GROUND):
    """Returns an example with a flat rectangle for each box; classes count the rows."""
    image = np.full((*size, 3), ground, np.uint8)
    for row, (y0, x0, y1, x1) in enumerate(boxes):
        image[y0:y1, x0:x1] = level(row)
    return Example(
        image=image,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.arange(len(boxes)),
        visible=np.ones((len(boxes),), np.float32),
        scale=np.ones((2,)),
    )


def count(image, row):
    """Counts the pixels of a rectangle."""
    return int((image[..., 0] == level(row)).sum())


def extent(is_inside):
    """Returns the box around the pixels of a mask."""
    rows, columns = np.nonzero(is_inside)
    return [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]


def assert_boxes_are_where_the_pixels_are(example):
    """Finds the rectangle of every class in unscaled pixels; its box is exact."""
    for box, row in zip(example.boxes, example.classes, strict=True):
        found = extent(example.image[..., 0] == level(row))
        np.testing.assert_array_equal(box, found)
