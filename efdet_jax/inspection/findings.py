"""What is wrong with a data set, or worth knowing, by what was found of its images."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from efdet_jax.data.flaws import Flaw
from efdet_jax.data.labels import LabelMap
from efdet_jax.inspection.look import UPRIGHT
from efdet_jax.inspection.survey import Record
from efdet_jax.structures import Annotations

MEND, LOOK, NOTE = "mend", "look at", "note"
"""How grave a finding is: it must be mended, may be a mistake, or is as it is."""

_TINY = 1.0
"""Pixels. VOC writes an object of no size as one pixel."""
_BEYOND = 1.0
"""Pixels that a box may reach out of its image: tools round."""


class Finding(NamedTuple):
    """One kind of thing, and where it is."""

    gravity: str
    what: str
    places: tuple[str, ...]
    remedy: str


def find(
    records: Collection[Record],
    flaws: Iterable[Flaw],
    labels: LabelMap,
    *,
    max_boxes: int,
    complete: bool,
) -> list[Finding]:
    """Returns all that was found, the gravest first.

    Args:
      records: of the images.
      flaws: that the reader mended.
      labels: of the data set.
      max_boxes: rows of ground truth that training has per image.
      complete: whether the records are of all images; else no class can be missed.
    """
    found = [
        *_mended(flaws),
        *_broken(records),
        *_strange_boxes(records),
        *_strange_files(records),
        *(_absent_classes(records, labels) if complete else ()),
        *_empty(records),
        *_crowded(records, max_boxes),
    ]
    order = (MEND, LOOK, NOTE)
    return sorted(
        (finding for finding in found if finding.places),
        key=lambda finding: order.index(finding.gravity),
    )


def _mended(flaws: Iterable[Flaw]) -> list[Finding]:
    places = tuple(map(str, flaws))
    return [
        Finding(MEND, "annotations that are none", places, "correct or remove them")
    ]


def _broken(records: Collection[Record]) -> list[Finding]:
    places = tuple(record.error for record in records if record.error)
    return [
        Finding(
            MEND,
            "images that are broken, or are of another size than their annotation says",
            places,
            "replace them, or remove them from the data set: training skips them, "
            "evaluation counts their objects as missed",
        )
    ]


def _strange_boxes(records: Collection[Record]) -> list[Finding]:
    outside, beyond, tiny, twice = [], [], [], []
    for record in records:
        if record.annotations is None:
            continue
        boxes = record.annotations.boxes
        is_outside = _is_outside(record.annotations)
        reach = _reach(record.annotations)
        rows = np.round(boxes, 2)
        is_again = _is_again(np.column_stack([rows, record.annotations.classes]))
        kinds = (
            (outside, is_outside),
            (beyond, (reach > _BEYOND) & ~is_outside),
            (tiny, (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) <= _TINY),
            (twice, is_again),
        )
        for places, is_so in kinds:
            places += [_place(record, row) for row in np.flatnonzero(is_so).tolist()]
    return [
        Finding(
            MEND,
            "boxes outside of their image",
            tuple(outside),
            "correct them: height and width may be exchanged, or the image was resized",
        ),
        Finding(
            LOOK,
            f"boxes that reach more than {_BEYOND:g} pixel out of their image",
            tuple(beyond),
            "training cuts them at its border, evaluation does not",
        ),
        Finding(
            LOOK,
            f"boxes of at most {_TINY:g} pixel in height or width",
            tuple(tiny),
            "remove them: no detector finds a point, and evaluation counts it",
        ),
        Finding(
            LOOK,
            "boxes that are there twice, with the same class",
            tuple(twice),
            "remove one: a detector is punished for finding the object once",
        ),
    ]


def _is_outside(annotations: Annotations) -> Bool[np.ndarray, " n"]:
    y0, x0, y1, x1 = annotations.boxes.T
    height, width = annotations.height, annotations.width
    return (y0 >= height) | (x0 >= width) | (y1 <= 0) | (x1 <= 0)


def _reach(annotations: Annotations) -> Float[np.ndarray, " n"]:
    """Returns how far each box reaches out of its image, pixels."""
    y0, x0, y1, x1 = annotations.boxes.T
    height, width = annotations.height, annotations.width
    return np.max([-y0, -x0, y1 - height, x1 - width], axis=0)


def _is_again(rows: Float[np.ndarray, "n c"]) -> Bool[np.ndarray, " n"]:
    """Says which rows are equal to an earlier one."""
    is_again = np.ones(len(rows), bool)
    is_again[np.unique(rows, axis=0, return_index=True)[1]] = False
    return is_again


def _place(record: Record, row: int) -> str:
    assert record.annotations is not None
    y0, x0, y1, x1 = record.annotations.boxes[row]
    return f"{record.title}: x {x0:.1f} to {x1:.1f}, y {y0:.1f} to {y1:.1f}"


def _strange_files(records: Collection[Record]) -> list[Finding]:
    by_kind, same = defaultdict(list), defaultdict(list)
    turned = []
    for record in records:
        if record.look is None:
            continue
        same[record.look.digest].append(record.title)
        if record.look.kind:
            by_kind[record.look.kind].append(record.title)
        if record.look.orientation != UPRIGHT:
            turned.append(record.title)
    return [
        Finding(
            LOOK,
            "images whose EXIF tag asks a viewer to turn them",
            tuple(turned),
            "boxes must be those of the pixels as they are stored, as COCO's are",
        ),
        Finding(
            LOOK,
            "images that are there more than once",
            tuple(" = ".join(titles) for titles in same.values() if len(titles) > 1),
            "keep one, above all if they are in training and in validation",
        ),
        *(
            Finding(NOTE, f"images in {kind}", tuple(titles), "read as 8-bit colour")
            for kind, titles in sorted(by_kind.items())
        ),
    ]


def _absent_classes(records: Collection[Record], labels: LabelMap) -> list[Finding]:
    present = {
        class_
        for record in records
        if record.annotations is not None
        for class_ in record.annotations.classes.tolist()
    }
    places = tuple(name for i, name in enumerate(labels.names) if i not in present)
    return [
        Finding(
            LOOK,
            "classes without a box",
            places,
            "remove them if they never occur: no average counts them",
        )
    ]


def _empty(records: Collection[Record]) -> list[Finding]:
    places = tuple(
        record.title
        for record in records
        if record.annotations is not None and not len(record.annotations.boxes)
    )
    return [
        Finding(
            NOTE,
            "images without boxes",
            places,
            "training takes them for pictures of nothing but background",
        )
    ]


def _crowded(records: Collection[Record], max_boxes: int) -> list[Finding]:
    crowds, full = [], []
    for record in records:
        if record.annotations is None:
            continue
        is_crowd = record.annotations.is_crowd
        crowds += [_place(record, row) for row in np.flatnonzero(is_crowd).tolist()]
        if (count := int((~is_crowd).sum())) > max_boxes:
            full.append(f"{record.title}: {count} boxes")
    return [
        Finding(
            LOOK,
            f"images with more than config.data.max_boxes={max_boxes} boxes",
            tuple(full),
            "raise it, or training shows a random choice of them",
        ),
        Finding(
            NOTE,
            "crowd or difficult boxes",
            tuple(crowds),
            "neither training nor evaluation rewards or punishes what is found there",
        ),
    ]
