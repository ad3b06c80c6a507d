"""COCO's figures by the package or by pycocotools, as contenders of `bench.py`.

From the same arrays, what an evaluation of 5,000 images ends with: shaken copies of
the objects among random boxes. Both must find the same figures, bit for bit.
"""

import contextlib
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import turns  # pyrefly: ignore[missing-import]

from efdet_jax.metrics import coco_figures
from efdet_jax.structures import Annotations

CLASSES, OBJECTS, DETECTIONS, SIDE = 80, 15, 100, 640


def arrays(images: int) -> tuple[list[Annotations], dict[str, np.ndarray]]:
    """Returns up to `OBJECTS` objects of each image, and `DETECTIONS` detections."""
    rng = np.random.default_rng(0)
    truth, found = [], []
    for index in range(images):
        count = int(rng.integers(OBJECTS + 1))
        boxes = random_boxes(rng, count)
        classes = rng.integers(CLASSES, size=count)
        area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        is_crowd = rng.random(count) < 0.01
        truth.append(Annotations(index + 1, SIDE, SIDE, boxes, classes, is_crowd, area))
        detected = random_boxes(rng, DETECTIONS)
        labels = rng.integers(CLASSES, size=DETECTIONS)
        detected[:count] = boxes + rng.normal(0, 4, boxes.shape)
        detected[:count, 2:] = np.maximum(
            detected[:count, 2:], detected[:count, :2] + 1
        )
        labels[:count] = classes
        scores = rng.random(DETECTIONS)
        found.append((np.full(DETECTIONS, index), detected, scores, labels))
    names = ("image_index", "boxes", "scores", "classes")
    columns = map(np.concatenate, zip(*found, strict=True))
    return truth, dict(zip(names, columns, strict=True))


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Returns boxes of all of COCO's sizes."""
    corner = rng.uniform(0, 0.8 * SIDE, (count, 2))
    side = np.exp(rng.uniform(np.log(8), np.log(0.4 * SIDE), (count, 2)))
    return np.concatenate([corner, corner + side], axis=1)


def ours(truth: Sequence[Annotations], found: Mapping[str, np.ndarray]) -> list[float]:
    """Returns the figures as the package computes them."""
    figures = coco_figures(
        truth,
        image_index=found["image_index"],
        boxes=found["boxes"],
        scores=found["scores"],
        classes=found["classes"],
        num_classes=CLASSES,
    )
    return list(figures.summary.values())


def pycocotools(
    truth: Sequence[Annotations], found: Mapping[str, np.ndarray]
) -> list[float]:
    """Returns the figures as COCO's own tools compute them."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations = []
    for image in truth:
        y0, x0, y1, x1 = image.boxes.T
        boxes = np.stack([x0, y0, x1 - x0, y1 - y0], axis=1).tolist()
        for box, class_, is_crowd, area in zip(
            boxes, image.classes, image.is_crowd, image.area, strict=True
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image.image_id,
                    "category_id": int(class_) + 1,
                    "bbox": box,
                    "area": float(area),
                    "iscrowd": int(is_crowd),
                }
            )
    y0, x0, y1, x1 = found["boxes"].T
    rows = (found["image_index"] + 1, x0, y0, x1 - x0, y1 - y0)
    with contextlib.redirect_stdout(io.StringIO()):
        data: Any = COCO()
        data.dataset = {
            "images": [
                {"id": image.image_id, "height": image.height, "width": image.width}
                for image in truth
            ],
            "categories": [{"id": i + 1, "name": str(i)} for i in range(CLASSES)],
            "annotations": annotations,
        }
        data.createIndex()
        results = data.loadRes(
            np.stack([*rows, found["scores"], found["classes"] + 1], axis=1)
        )
        evaluation = COCOeval(data, results, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats.tolist()


def main() -> None:
    """Takes its turns; the first, whose figures are compared, is the warm-up."""
    case = turns.case()
    compute: Callable[..., list[float]] = {
        "efdet_jax": ours,
        "pycocotools": pycocotools,
    }[case["name"]]
    package = {"efdet_jax": "hotcoco"}.get(case["name"], case["name"])
    data = arrays(case["batch"])
    figures = compute(*data)

    def once() -> float:
        start = time.perf_counter()
        again = compute(*data)
        seconds = time.perf_counter() - start
        assert again == figures
        return seconds

    about: dict[str, Any] = {
        "threads": len(os.sched_getaffinity(0)),
        "dtype": "float64",
        "device": "cpu",
        "figures": figures,
        "versions": {package: version(package)},
    }
    turns.serve(once, about, warm_up=0)


if __name__ == "__main__":
    main()
