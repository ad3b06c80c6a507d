"""COCO's figures, computed on the host by hotcoco."""

import contextlib
import io
from collections.abc import Collection
from typing import NamedTuple

import hotcoco
import numpy as np
from jaxtyping import Bool, Float, Int

from efdet_jax.structures import Annotations, SplitDetections

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


RECALLS = np.linspace(0, 1, 101)
"""Where COCO reads precision from a curve."""
IOUS = np.linspace(0.5, 0.95, 10)
"""From which COCO takes a detection for right, one after the other."""
AREAS = ("", "s", "m", "l")
"""Sizes of objects: all, below 32 x 32 pixels, below 96 x 96, above."""


class CocoCurves(NamedTuple):
    """What COCO's figures are means of; NaN where the ground truth has no object."""

    precision: Float[np.ndarray, "10 101 k"]
    """By `IOUS`, `RECALLS` and class; 0 beyond the last recall that was reached."""
    area_ap: Float[np.ndarray, "k 4"]
    """`AP` of each class, by `AREAS`."""


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
    found = SplitDetections(image_index, boxes, scores, classes)
    evaluation = _evaluation(annotations, found, num_classes)
    with contextlib.redirect_stdout(io.StringIO()):  # It prints what it computes.
        evaluation.summarize()
    class_ap = _precision(evaluation)[:, :, :, 0].mean(axis=(0, 1))
    figures = _absent_to_nan(np.asarray(evaluation.stats))
    return CocoFigures(
        summary=dict(zip(SUMMARY, figures.tolist(), strict=True)),
        class_ap=_absent_to_nan(class_ap),
    )


def coco_curves(
    annotations: Collection[Annotations], found: SplitDetections, num_classes: int
) -> CocoCurves:
    """Returns the curves behind `coco_figures`, whose arguments these are."""
    evaluation = _evaluation(annotations, found, num_classes)
    precision = _absent_to_nan(_precision(evaluation))
    return CocoCurves(
        precision=precision[:, :, :, 0],
        area_ap=precision.mean(axis=(0, 1)),
    )


class Tide(NamedTuple):
    """Mistakes by TIDE's names of their kinds: Cls, Loc, Both, Dupe, Bkg and Miss."""

    ap50: float
    """With all of them."""
    counts: dict[str, int]
    costs: dict[str, float]
    """AP50 that is gained if no mistake of the kind, alone, is made."""


def tide(
    annotations: Collection[Annotations],
    found: SplitDetections,
    num_classes: int,
    *,
    iou: float,
    background_iou: float,
) -> Tide:
    """Sorts mistakes into kinds, as TIDE's code does.

    Args:
      annotations: The ground truth of every image, without crowds: hotcoco takes what
        lies in one in part for misplaced.
      found: All detections.
      num_classes: Classes of the network.
      iou: From which a detection has found an object.
      background_iou: Up to which it has nothing to do with it.

    Source: Bolya et al., TIDE (arXiv 2008.08115), sections 2.2 and 2.3.
    """
    evaluation = _prepared(annotations, found, num_classes)
    evaluation.evaluate()
    errors = evaluation.tide_errors(pos_thr=iou, bg_thr=background_iou)
    return Tide(errors["ap_base"], errors["counts"], errors["delta_ap"])


def confusion(
    annotations: Collection[Annotations],
    found: SplitDetections,
    num_classes: int,
    *,
    iou: float,
) -> Int[np.ndarray, "rows columns"]:
    """Counts what objects of each class were taken for.

    The best detections of an image take, one after the other, the object that they
    overlap most, of whatever class. Crowds are left out.

    Args:
      annotations: The ground truth of every image.
      found: Detections, of which each counts.
      num_classes: Classes of the network.
      iou: From which a detection and an object belong together.

    Returns:
      Rows are the classes of objects, columns those found; the last row is background
      where something was found, the last column objects that were missed.
    """
    counted = _prepared(annotations, found, num_classes).confusion_matrix(
        iou_thr=iou, max_det=max(len(found.scores), 1)
    )
    return counted["matrix"].astype(np.int64)


def overlaps(
    found: Float[np.ndarray, "d 4"],
    boxes: Float[np.ndarray, "n 4"],
    is_crowd: Bool[np.ndarray, " n"],
) -> Float[np.ndarray, "d n"]:
    """Returns the IoU of detections and objects as COCO has it.

    With a crowd it is the share of the detection that lies in it.
    """
    if not len(found) or not len(boxes):
        return np.zeros((len(found), len(boxes)))
    detected, true = (np.stack(_columns_xywh(each), axis=1) for each in (found, boxes))
    return hotcoco.primitives.bbox_iou(detected, true, is_crowd)


def _evaluation(
    annotations: Collection[Annotations], found: SplitDetections, num_classes: int
) -> hotcoco.COCOeval:
    evaluation = _prepared(annotations, found, num_classes)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def _prepared(
    annotations: Collection[Annotations], found: SplitDetections, num_classes: int
) -> hotcoco.COCOeval:
    # Where scores tie across images, COCO ranks by image id.
    ids = [(isinstance(a.image_id, str), a.image_id) for a in annotations]
    rank = np.empty(len(ids), np.int64)
    rank[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    truth = _truth(annotations, rank, num_classes)
    rows = [
        rank[found.image_index] + 1,
        *_columns_xywh(found.boxes),
        found.scores,
        found.classes + 1,
    ]
    results = truth.load_res(np.stack(rows, axis=1, dtype=np.float64))
    return hotcoco.COCOeval(truth, results, "bbox")


def _precision(evaluation: hotcoco.COCOeval) -> Float[np.ndarray, "10 101 k 4"]:
    accumulated = evaluation.eval
    assert accumulated is not None
    # Axes: IoU, recall, class, area (0: all), detections per image (-1: 100).
    return accumulated["precision"][..., -1]


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


def _absent_to_nan(
    figures: Float[np.ndarray, "*any"],
) -> Float[np.ndarray, "*any"]:
    return np.where(figures < 0, np.nan, figures)
