"""Candidates and non-maximum suppression for one image, by sorting and looping."""

import numpy as np
from oracles.geometry import decode_one, iou_of_pair


def best_pairs(logits, count):
    """(anchor, class) of the highest logits; ties to the lower anchor, then class."""
    pairs = [(i, c) for i in range(logits.shape[0]) for c in range(logits.shape[1])]
    return sorted(pairs, key=lambda pair: (-logits[pair], pair))[:count]


def greedy(boxes, classes, threshold, count):
    """Rows kept from boxes in descending order of score."""
    kept = []
    for i in range(len(boxes)):
        rivals = [j for j in kept if classes[j] == classes[i]]
        if all(iou_of_pair(boxes[j], boxes[i]) <= threshold for j in rivals):
            kept.append(i)
    return kept[:count]


def detect(logits, codes, anchors, *, size, candidates, count, iou, score):
    """Clipped boxes, scores and classes of one image."""
    pairs = best_pairs(logits, candidates)
    scores = [1 / (1 + np.exp(-np.float64(logits[pair]))) for pair in pairs]
    pairs = [pair for pair, s in zip(pairs, scores, strict=True) if s > score]
    boxes = np.array([decode_one(anchors[i], codes[i]) for i, _ in pairs])
    classes = np.array([c for _, c in pairs])
    kept = greedy(boxes.reshape(-1, 4), classes, iou, count)
    limits = [size[0], size[1], size[0], size[1]]
    boxes = np.clip(boxes.reshape(-1, 4)[kept], 0, limits)
    return boxes, np.array(scores)[kept], classes[kept]
