"""What a run's detections are worth, in curves, tables and pictures."""

import html
import math

import cv2
import numpy as np
from ml_collections import ConfigDict

from efdet_jax.data.source import Source
from efdet_jax.diagnosis import confusions, error_types, ranking
from efdet_jax.diagnosis.matching import MATCH_IOU, match
from efdet_jax.diagnosis.operating import OperatingPoint, best_operating_point
from efdet_jax.errors import UsageError
from efdet_jax.metrics import IOUS, RECALLS, CocoCurves, coco_curves
from efdet_jax.pages.images import pair, panel, picture_element, wide
from efdet_jax.pages.page import Chapter
from efdet_jax.pages.tables import Table, three_decimals
from efdet_jax.pictures import SHOWN_SCORE, draw_comparison
from efdet_jax.report.judged import Judged, seen
from efdet_jax.report.plots import draw_bars, draw_confusion, draw_curves
from efdet_jax.structures import IGNORED

_WORST, _BEST = 6, 3
"""How many images are drawn."""
_NAMED_CURVES = 7
"""As many colours can be told apart."""
_CONFUSED = 20
"""Classes whose counts can be read."""
_FIT_A_PANEL = 9
"""Rows of counts."""
_LARGEST_SIDE = 640
"""Pixels of a picture; more would only make the page heavy."""
_SHOWN_IOUS = (0, 2, 4, 6, 8)
"""Positions in `IOUS`."""


def detection_chapters(
    judged: Judged, source: Source, config: ConfigDict
) -> list[Chapter]:
    """Returns all that is to be said of what a run has found.

    Args:
      judged: its detections.
      source: the images.
      config: of the run.
    """
    curves = coco_curves(judged.annotations, judged.found, len(judged.names))
    return [
        curves_chapter(curves, judged),
        classes_chapter(curves, judged),
        confusion_chapter(judged),
        errors_chapter(judged),
        *images_chapters(judged, source, config),
    ]


def curves_chapter(curves: CocoCurves, judged: Judged) -> Chapter:
    """Returns precision over recall, of all classes and of each."""
    occurring = np.flatnonzero(judged.object_counts)
    if not len(occurring):
        return Chapter("Precision and recall", ("There is no object.",), None)
    mean = curves.precision[:, :, occurring].mean(axis=2)
    by_iou = {f"IoU {IOUS[i]:.2f}": mean[i] for i in _SHOWN_IOUS}
    each = curves.precision[0].T
    named = occurring[np.argsort(-each[occurring].mean(axis=1), kind="stable")]
    title = f"of each class, IoU {MATCH_IOU:.2f}"
    if len(named) > _NAMED_CURVES:
        best, worst = named[:3], named[-3:]
        named = np.concatenate([best, worst])
        title += ", the three best and the three worst by name"
    by_class = {judged.names[i]: each[i] for i in named}
    others = [each[i] for i in occurring if i not in named]
    return Chapter(
        "Precision and recall",
        (_operating_sentence(_point(judged, None)),),
        None,
        (
            (
                "mean over the classes",
                panel(lambda axes: draw_curves(axes, RECALLS, by_iou)),
            ),
            (title, panel(lambda axes: draw_curves(axes, RECALLS, by_class, others))),
        ),
    )


def classes_chapter(curves: CocoCurves, judged: Judged) -> Chapter:
    """Returns the figures of each class, the worst first."""
    at_half, at_three_quarters = curves.precision[0], curves.precision[5]
    occurring = np.flatnonzero(judged.object_counts)
    order = np.argsort(curves.area_ap[occurring, 0], kind="stable")
    rows = []
    for i in occurring[order].tolist():
        point = _point(judged, i)
        figures = (
            curves.area_ap[i, 0],
            at_half[:, i].mean(),
            at_three_quarters[:, i].mean(),
            *curves.area_ap[i, 1:],
            point.f1,
            point.score,
        )
        count = f"{judged.object_counts[i]:,}"
        rows.append((judged.names[i], count, *map(three_decimals, figures)))
    header = (
        *("class", "objects", "AP", "AP50", "AP75", "APs", "APm", "APl"),
        *("best F1", "from score"),
    )
    return Chapter(
        "Classes and sizes",
        (
            "The worst class first. Small is below 32 x 32 pixels of the image, large "
            "from 96 x 96 on; - where there is no such object. Best F1: what counting "
            "only detections from that score on comes to. Classes without objects are "
            "left out.",
        ),
        Table(header, tuple(rows), 1),
    )


def confusion_chapter(judged: Judged) -> Chapter:
    """Returns what objects were taken for."""
    matrix = confusions.confusion_matrix(
        judged.annotations,
        judged.found,
        judged.owner,
        len(judged.names),
        score=SHOWN_SCORE,
    )
    kept = confusions.most_confused(matrix, _CONFUSED)
    rows = [*kept, len(judged.names)]
    part = matrix[np.ix_(rows, rows)]
    names = [judged.names[i] for i in kept]
    side = max(4.0, 1.6 + 0.36 * len(rows))
    sentence = (
        f"Detections of score {SHOWN_SCORE} or more, and objects that they overlap by "
        f"IoU {MATCH_IOU}, of whatever class. A row is a class of objects, its colours "
        "are shares of the row; the last row is what was found where nothing is."
    )
    left_out = len(judged.names) - len(kept)
    more = (f"{left_out} classes with fewer confusions are left out.",)
    drawn = panel(lambda axes: draw_confusion(axes, part, names), (side + 0.6, side))
    return Chapter(
        "Confusions",
        (sentence, *(more if left_out else ())),
        None,
        (("", wide(drawn) if len(rows) > _FIT_A_PANEL else drawn),),
    )


def errors_chapter(judged: Judged) -> Chapter:
    """Returns how often mistakes of each kind are made, and what they cost."""
    found = error_types.error_types(
        judged.annotations, judged.found, judged.owner, len(judged.names)
    )
    total = sum(cost for cost in found.costs.values() if cost > 0)
    rows = tuple(
        (
            kind,
            meaning,
            f"{found.counts[kind]:,}",
            three_decimals(found.costs[kind]),
            "-" if not total else f"{max(found.costs[kind], 0) / total:.0%}",
        )
        for kind, meaning in error_types.KINDS.items()
    )
    sentence = (
        f"Of all detections, whatever their score, at IoU {MATCH_IOU}. AP50 is "
        f"{three_decimals(found.ap50)}: it would be higher by the cost of a kind if no "
        "mistake of that kind, alone, were made. Costs do not add up."
    )
    header = ("kind", "what was found", "count", "cost, AP50", "share")
    known = {kind: cost for kind, cost in found.costs.items() if not math.isnan(cost)}
    drawn = panel(lambda axes: draw_bars(axes, known, label="cost, AP50"))
    return Chapter(
        "Kinds of mistakes",
        (sentence, "After TIDE (Bolya et al. 2020, arXiv 2008.08115)."),
        Table(header, rows, 2),
        (("", drawn),) if known else (),
    )


def images_chapters(
    judged: Judged, source: Source, config: ConfigDict
) -> list[Chapter]:
    """Returns the images with most mistakes, and some without any."""
    counts = ranking.count_by_image(
        judged.annotations, judged.found, judged.owner, score=SHOWN_SCORE
    )
    worst = ranking.worst_images(counts, _WORST)
    best = ranking.best_images(counts, _BEST)
    legend = (
        f"First the truth, then detections of score {SHOWN_SCORE} or more: green is "
        "right, red is wrong, yellow was missed, grey does not count."
    )
    chapters = []
    for title, images in (("Worst images", worst), ("Best images", best)):
        pictures = []
        for i in images:
            caption = (
                f"{source.title(i)}: {counts.right[i]} right, {counts.wrong[i]} wrong, "
                f"{counts.missed[i]} missed"
            )
            pictures.append((caption, _picture(judged, source, config, i)))
        if pictures:
            chapters.append(Chapter(title, (legend,), None, tuple(pictures)))
    return chapters


def _picture(judged: Judged, source: Source, config: ConfigDict, i: int) -> str:
    """Returns an image with its truth and detections as an HTML element."""
    try:
        example = seen(source, i, config)
    except UsageError as error:
        return html.escape(str(error))
    factor = min(1.0, _LARGEST_SIDE / max(example.image.shape[:2]))
    rows = np.flatnonzero(judged.found.image_index == i)
    rows = rows[np.argsort(-judged.found.scores[rows], kind="stable")]
    _, boxes, scores, classes = judged.found.of_rows(rows)
    found = (boxes * factor / np.tile(example.scale, 2), scores, classes)
    truth = (example.boxes * factor, example.classes)
    picture = draw_comparison(
        cv2.resize(example.image, None, fx=factor, fy=factor),
        *truth,
        *found,
        match(*truth, example.classes == IGNORED, *found),
        names=judged.names,
    )
    left, right = np.split(picture, 2, axis=1)
    title = source.title(i)
    return pair(
        picture_element(left, f"objects of {title}"),
        picture_element(right, f"what was found in {title}"),
    )


def _point(judged: Judged, class_: int | None) -> OperatingPoint:
    """Returns the best operating point of one class, or of all together."""
    counted = judged.owner != IGNORED
    objects = judged.object_counts
    if class_ is not None:
        counted &= judged.found.classes == class_
        objects = objects[class_]
    return best_operating_point(
        judged.found.scores[counted], judged.owner[counted] >= 0, int(objects.sum())
    )


def _operating_sentence(point: OperatingPoint) -> str:
    if math.isnan(point.score):
        return "Nothing was found."
    return (
        f"From score {point.score:.2f} on, F1 is greatest: {point.precision:.1%} of "
        f"the detections are right then, and {point.recall:.1%} of the objects found "
        f"(IoU {MATCH_IOU})."
    )
