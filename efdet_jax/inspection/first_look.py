"""What every training run looks at before its first step: seconds, not minutes."""

import logging
import time
from collections.abc import Collection

import numpy as np
from ml_collections import ConfigDict

from efdet_jax.data.source import Source
from efdet_jax.errors import UsageError
from efdet_jax.inspection.coverage import (
    MATCH_IOU,
    best_iou,
    boxes_in_input,
    share_matched,
)
from efdet_jax.inspection.findings import NOTE, find
from efdet_jax.inspection.proof import prove
from efdet_jax.inspection.survey import Record

_LOG = logging.getLogger(__name__)

_MOST_IMAGES = 5000
_MOST_SECONDS = 2.0
_FEW_MATCHED = 0.9
"""Share of objects; where anchors match fewer, it is said."""


def first_look(source: Source, config: ConfigDict, *, name: str) -> None:
    """Logs how many objects there are and what is strange about their annotations.

    Decodes no image, and looks at some thousand images at most.

    Args:
      source: the data set.
      config: of the detector that is to see it.
      name: of the data set, in the log.
    """
    records = _annotated(source)
    findings = find(
        records,
        source.flaws,
        source.labels,
        max_boxes=config.data.max_boxes,
        complete=len(records) == len(source),
    )
    known = [r.annotations for r in records if r.annotations is not None]
    image_size = tuple(config.image_size)
    boxes = boxes_in_input(known, image_size, config.data.resize)
    _LOG.info(
        "%s: %d images%s, %d boxes of %d classes",
        name,
        len(source),
        "" if len(records) == len(source) else f", looked at {len(records)}",
        sum(len(each.boxes) for each in known),
        source.labels.num_classes,
    )
    for finding in findings:
        if finding.gravity == NOTE:
            continue
        _LOG.warning(
            "%s: %d %s, such as %s; python -m efdet_jax.check_data --data=%s shows all",
            name,
            len(finding.places),
            finding.what,
            finding.places[0],
            name.partition("=")[2],
        )
    overlap = best_iou(
        boxes,
        image_size,
        levels=tuple(config.model.levels),
        **config.model.anchors.to_dict(),
    )
    matched = share_matched(overlap)
    if matched < _FEW_MATCHED:
        _LOG.warning(
            "%s: anchors overlap only %.0f%% of the boxes by IoU %s; "
            "python -m efdet_jax.check_data advises on them",
            name,
            100 * matched,
            MATCH_IOU,
        )
    proof = prove(
        known,
        image_size=image_size,
        resize=config.data.resize,
        num_classes=source.labels.num_classes,
    )
    if proof.wrong_classes:
        _LOG.warning(
            "%s: its own boxes, fed back as detections, score AP %.3f instead of 1",
            name,
            proof.ap,
        )


def _annotated(source: Source) -> Collection[Record]:
    """Returns the annotations of images evenly chosen, until the time is over."""
    count = min(len(source), _MOST_IMAGES)
    chosen = np.linspace(0, len(source) - 1, count).round().astype(int)
    # In an order that is even whenever it ends.
    chosen = np.random.default_rng(0).permutation(chosen)
    end = time.monotonic() + _MOST_SECONDS
    records = []
    for i in chosen.tolist():
        try:
            annotations, error = source.annotations(i), ""
        except UsageError as raised:
            annotations, error = None, str(raised)
        records.append(Record(i, source.title(i), annotations, None, error))
        if time.monotonic() > end:
            break
    return records
