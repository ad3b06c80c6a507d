"""Detections as a COCO results file has them, which every COCO tool reads."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int


def coco_results(
    image_ids: Sequence[int | str],
    class_ids: Sequence[int | str],
    *,
    image_index: Int[np.ndarray, " d"],
    boxes: Float[np.ndarray, "d 4"],
    scores: Float[np.ndarray, " d"],
    classes: Int[np.ndarray, " d"],
) -> list[dict[str, Any]]:
    """Returns detections with the ids of the data set, boxes [x, y, width, height].

    Args:
      image_ids: those of the data set, by image.
      class_ids: those of the data set, by class.
      image_index: which of the images each detection is of.
      boxes: [y0, x0, y1, x1] in pixels of the image; written to a thousandth.
      scores: written to a millionth.
      classes: of the network.

    Source: https://cocodataset.org/#format-results
    """
    y0, x0, y1, x1 = boxes.astype(np.float64).T
    xywh = np.stack([x0, y0, x1 - x0, y1 - y0], axis=1).round(3).tolist()
    return [
        {
            "image_id": image_ids[image],
            "category_id": class_ids[class_],
            "bbox": box,
            "score": score,
        }
        for image, class_, box, score in zip(
            image_index.tolist(),
            classes.tolist(),
            xywh,
            scores.astype(np.float64).round(6).tolist(),
            strict=True,
        )
    ]
