"""Candidates and non-maximum suppression for one image, by sorting and looping."""

import numpy as np
from oracles.geometry import decode_one, iou_of_pair


def best_pairs(logits, count):
    """(anchor, class) of the highest logits; ties to the lower anchor, then class."""
    pairs = [(i, c) for i in range(logits.shape[0]) for c in range(logits.shape[1])]
    return sorted(pairs, key=lambda pair: (-logits[pair], pair))[:count]


def best_classes(logits, count):
    """(anchor, class) of the highest logit of every anchor; ties to the lower class."""
    pairs = best_pairs(logits, logits.size)
    first = {anchor: pair for pair in reversed(pairs) for anchor in [pair[0]]}
    return sorted(first.values(), key=lambda pair: (-logits[pair], pair))[:count]


CANDIDATES = {"pairs": best_pairs, "best_class": best_classes}
DECAYS = {
    "hard": lambda iou: float(iou <= 0.5),
    "linear": lambda iou: 1 - iou if iou > 0.5 else 1.0,
    "gaussian": lambda iou: np.exp(-(iou**2) / 0.3),
}
"""What a kept box leaves of a score; the IoU threshold is 0.5, sigma 0.3."""


def keep(boxes, scores, classes, *, decay, count, threshold):
    """[(row, score)] kept: each time the best of what all kept ones have left."""
    kept = []
    while len(kept) < count:
        left = {}
        for i in set(range(len(boxes))) - {row for row, _ in kept}:
            rivals = [row for row, _ in kept if classes[row] == classes[i]]
            factors = [decay(iou_of_pair(boxes[row], boxes[i])) for row in rivals]
            left[i] = scores[i] * np.prod(factors)
        best = max(left, key=lambda i: (left[i], -i), default=None)
        if best is None or left[best] <= threshold:
            break
        kept.append((best, left[best]))
    return kept


def detect(
    logits,
    codes,
    anchors,
    *,
    size,
    candidates,
    max_candidates,
    count,
    decay,
    threshold,
    per_class,
):
    """Boxes clipped afterwards, scores and classes of one image."""
    pairs = candidates(logits, max_candidates)
    boxes = np.array([decode_one(anchors[i], codes[i]) for i, _ in pairs])
    scores = [1 / (1 + np.exp(-np.float64(logits[pair]))) for pair in pairs]
    classes = np.array([c for _, c in pairs])
    kept = keep(
        boxes,
        scores,
        classes if per_class else np.zeros(len(pairs)),
        decay=decay,
        count=count,
        threshold=threshold,
    )
    rows = [row for row, _ in kept]
    boxes = np.clip(boxes[rows], 0, [size[0], size[1], size[0], size[1]])
    return boxes, np.array([score for _, score in kept]), classes[rows]
