"""Anchor assignment for one image, object by object and anchor by anchor."""

import numpy as np
from oracles.geometry import iou_table


def owners(anchors, boxes, threshold):
    """Row of the object that owns each anchor, -1 for the background."""
    owner = np.full(len(anchors), -1)
    if len(boxes) == 0:
        return owner
    table = iou_table(anchors, boxes)
    for i in range(len(anchors)):
        best = 0
        for j in range(len(boxes)):
            if table[i, j] > table[i, best]:
                best = j
        if table[i, best] >= threshold:
            owner[i] = best
    forced = set()
    for j in range(len(boxes)):
        best = 0
        for i in range(len(anchors)):
            if table[i, j] > table[best, j]:
                best = i
        if best not in forced:
            forced.add(best)
            owner[best] = j
    return owner
