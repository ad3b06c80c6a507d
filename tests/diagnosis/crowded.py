"""Small data sets in which every kind of mistake is made."""

import numpy as np

from efdet_jax.structures import Annotations, SplitDetections


def boxes_in(rng, count):
    corners = rng.uniform(0, 60, (count, 2))
    return np.concatenate([corners, corners + rng.uniform(12, 40, (count, 2))], 1)


def crowded(rng, *, images=12, num_classes=3, crowd=0.15):
    """(annotations, detections): objects shaken, renamed, doubled and left out."""
    annotations, parts = [], []
    for index in range(images):
        boxes = boxes_in(rng, rng.integers(0, 6))
        classes = rng.integers(0, num_classes, len(boxes))
        annotations.append(
            Annotations(
                image_id=index + 1,
                height=100,
                width=100,
                boxes=boxes,
                classes=classes,
                is_crowd=rng.random(len(boxes)) < crowd,
                area=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
            )
        )
        chosen = rng.integers(0, max(len(boxes), 1), 10 if len(boxes) else 0)
        shaken = boxes[chosen] + rng.normal(0, rng.choice([1, 6]), (len(chosen), 4))
        shaken[:, 2:] = np.maximum(shaken[:, 2:], shaken[:, :2] + 2)
        found = np.concatenate([shaken, boxes_in(rng, 3)])
        named = np.concatenate([classes[chosen], rng.integers(0, num_classes, 3)])
        is_renamed = rng.random(len(named)) < 0.3
        named = np.where(is_renamed, rng.integers(0, num_classes, len(named)), named)
        scores = rng.random(len(found))
        parts.append((np.full(len(found), index), found, scores, named))
    fields = map(np.concatenate, zip(*parts, strict=True))
    # Detections of an image need not be together.
    found = SplitDetections(*fields)
    return annotations, found.of_rows(rng.permutation(len(found.scores)))


def as_images(annotations, found):
    """The same as `oracles.verdicts` has it."""
    return [
        (
            list(zip(each.boxes, each.classes, each.is_crowd, strict=True)),
            [
                (found.boxes[row], found.classes[row], found.scores[row])
                for row in np.flatnonzero(found.image_index == index)
            ],
        )
        for index, each in enumerate(annotations)
    ]
