"""What the page is told: which detectors there are, and what one sees in an image."""

import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from efdet_jax.data.files import decode_image, image_size
from efdet_jax.errors import UsageError
from efdet_jax.inference.detector import LoadedDetector
from efdet_jax.results import coco_results

MAX_BYTES = 20 * 2**20
"""Of an image as it is sent."""
MAX_PIXELS = 64 * 10**6
"""Of an image, decoded: 192 MB."""


class Refusal(Exception):
    """A request that is answered with an error: its status and one line."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Served(NamedTuple):
    """A detector, and what the page calls it."""

    name: str
    detector: LoadedDetector


def models_answer(served: Sequence[Served]) -> dict[str, Any]:
    """Returns the detectors, numbered, and what an image may have."""
    models = [
        {
            "id": number,
            "name": each.name,
            "image_size": list(each.detector.image_size),
            "classes": list(each.detector.labels.names),
        }
        for number, each in enumerate(served)
    ]
    return {
        "models": models,
        "limits": {"bytes": MAX_BYTES, "pixels": MAX_PIXELS},
    }


def detect_answer(
    detector: LoadedDetector, encoded: bytes, *, name: str
) -> dict[str, Any]:
    """Returns the detections in an image as a COCO results file has them.

    Each has the name of its class besides. `milliseconds` are the detector's: from the
    decoded image to the boxes.

    Args:
      detector: what `load` returned.
      encoded: the bytes of an image.
      name: of the image: its id in the detections.

    Raises:
      Refusal: that is no image, or one of too many pixels.
    """
    image = _decoded(encoded, name)
    start = time.perf_counter()
    found = detector(image)
    milliseconds = 1e3 * (time.perf_counter() - start)
    height, width = image.shape[:2]
    results = coco_results(
        [name],
        detector.labels.ids,
        image_index=np.zeros(len(found.scores), int),
        boxes=found.boxes,
        scores=found.scores,
        classes=found.classes,
    )
    return {
        "width": width,
        "height": height,
        "milliseconds": milliseconds,
        "detections": [
            {"name": class_name} | result
            for class_name, result in zip(found.names, results, strict=True)
        ],
    }


def _decoded(encoded: bytes, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes an image whose header says that it is not too large, as people see it."""
    try:
        height, width = image_size(encoded, name=name)
        if height * width <= MAX_PIXELS:
            return decode_image(encoded, name=name, upright=True)
    except UsageError as error:
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"{name}: is no image, or a part of one: choose a JPEG, PNG or WebP",
        ) from error
    raise Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"{name}: has {width} x {height} pixels, more than {MAX_PIXELS / 1e6:.0f}"
        " million: choose a smaller image",
    )
