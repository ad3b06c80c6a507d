"""COCO's figures, computed on the host by hotcoco."""

import contextlib
import io
from collections.abc import Collection
from typing import NamedTuple

import hotcoco
import numpy as np
from jaxtyping import Float, Int

from efdet_jax.structures import Annotations

SUMMARY = (
    *("AP", "AP50", "AP75", "APs", "APm", "APl"),
    *("AR1", "AR10", "AR100", "ARs", "ARm", "ARl"),
)
"""The twelve figures in COCO's order: average precision and average recall, by IoU (50,
75 %, else the mean of 50..95 %), object size, and detections counted per image."""


class CocoFigures(NamedTuple):
    """How good a set of detections is; every figure lies in 0..1.

    A figure about objects that the ground truth has none of is NaN, where COCO's own
    tools say -1: a mean over runs must not take it for a number.
    """

    summary: dict[str, float]
    """The figures of `SUMMARY`."""
    class_ap: Float[np.ndarray, " k"]
    """`AP` of each class."""


# `Collection`: within a `Sequence`, the run-time shape check would want every image to
# have the same number of objects.
def coco_figures(
    annotations: Collection[Annotations],
    *,
    image_index: Int[np.ndarray, " d"],
    boxes: Float[np.ndarray, "d 4"],
    scores: Float[np.ndarray, " d"],
    classes: Int[np.ndarray, " d"],
    num_classes: int,
) -> CocoFigures:
    """Compares detections with the ground truth, as pycocotools does bit for bit.

    Args:
      annotations: The ground truth of every image of the split, each once.
      image_index: Which of `annotations` each detection is of; detections come in any
        order, and those of one image with equal scores rank in the order given.
      boxes: Detected [y0, x0, y1, x1] in pixels of the original image.
      scores: Their scores; the 100 best of an image and class count.
      classes: Their network classes.
      num_classes: Classes of the network; those that never occur count in no mean.

    Raises:
      ValueError: A score is not a number.

    Source: Lin et al., Microsoft COCO, 2014, and the challenge's evaluation page.
    """
    # Where scores tie across images, COCO ranks by image id.
    ids = [(isinstance(a.image_id, str), a.image_id) for a in annotations]
    rank = np.empty(len(ids), np.int64)
    rank[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    truth = _truth(annotations, rank, num_classes)
    rows = [rank[image_index] + 1, *_columns_xywh(boxes), scores, classes + 1]
    found = truth.load_res(np.stack(rows, axis=1, dtype=np.float64))
    evaluation = hotcoco.COCOeval(truth, found, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    with contextlib.redirect_stdout(io.StringIO()):  # It prints what it computes.
        evaluation.summarize()
    accumulated = evaluation.eval
    assert accumulated is not None
    # Axes: IoU, recall, class, area (0: all), detections per image (-1: 100).
    precision = accumulated["precision"][:, :, :, 0, -1]
    class_ap = precision.mean(axis=(0, 1))
    figures = _absent_to_nan(np.asarray(evaluation.stats))
    return CocoFigures(
        summary=dict(zip(SUMMARY, figures.tolist(), strict=True)),
        class_ap=_absent_to_nan(class_ap),
    )


def _truth(
    annotations: Collection[Annotations], rank: Int[np.ndarray, " i"], num_classes: int
) -> hotcoco.COCO:
    # One empty row each lets a split without images or boxes be concatenated too.
    boxes = np.concatenate([np.zeros((0, 4)), *(a.boxes for a in annotations)])
    classes = np.concatenate([np.zeros(0, int), *(a.classes for a in annotations)])
    crowd = np.concatenate([np.zeros(0, bool), *(a.is_crowd for a in annotations)])
    area = np.concatenate([np.zeros(0), *(a.area for a in annotations)])
    counts = [len(a.boxes) for a in annotations]
    return hotcoco.COCO.from_arrays(
        [
            {"id": int(row) + 1, "height": a.height, "width": a.width}
            for row, a in zip(rank, annotations, strict=True)
        ],
        [{"id": class_ + 1, "name": str(class_)} for class_ in range(num_classes)],
        np.repeat(rank + 1, counts),
        classes + 1,
        np.stack(_columns_xywh(boxes), axis=1),
        area=area,
        iscrowd=crowd,
    )


def _columns_xywh(boxes: Float[np.ndarray, "n 4"]) -> list[Float[np.ndarray, " n"]]:
    y0, x0, y1, x1 = boxes.astype(np.float64).T
    return [x0, y0, x1 - x0, y1 - y0]


def _absent_to_nan(figures: Float[np.ndarray, " f"]) -> Float[np.ndarray, " f"]:
    return np.where(figures < 0, np.nan, figures)
