"""Box geometry one box at a time, in plain Python on float64 or float32 scalars."""

import numpy as np


def iou_of_pair(a, b):
    """The textbook: shared area / joint area; 0 where nothing is shared."""
    height = min(a[2], b[2]) - max(a[0], b[0])
    width = min(a[3], b[3]) - max(a[1], b[1])
    if height <= 0 or width <= 0:
        return a.dtype.type(0)
    shared = height * width
    joint = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / joint


def iou_table(a, b):
    return np.array([[iou_of_pair(x, y) for y in b] for x in a]).reshape(len(a), len(b))


def decode_one(anchor, code):
    anchor, code = anchor.astype(np.float64), code.astype(np.float64)
    height, width = anchor[2] - anchor[0], anchor[3] - anchor[1]
    y = (anchor[0] + anchor[2]) / 2 + code[0] * height
    x = (anchor[1] + anchor[3]) / 2 + code[1] * width
    height, width = height * np.exp(code[2]), width * np.exp(code[3])
    return np.array([y - height / 2, x - width / 2, y + height / 2, x + width / 2])


def random_boxes(rng, shape, extent, sides=(4, 80)):
    centre = rng.uniform(0, extent, (*shape, 2))
    side = np.exp(rng.uniform(*np.log(sides), (*shape, 2)))
    boxes = np.concatenate([centre - side / 2, centre + side / 2], axis=-1)
    return boxes.astype(np.float32)
