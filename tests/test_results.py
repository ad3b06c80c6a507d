import json

import numpy as np
import pytest
from oracles import geometry
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from efdet_jax.data.coco import Coco
from efdet_jax.metrics import coco_figures
from efdet_jax.results import coco_results


def test_pycocotools_scores_the_file_as_we_score_the_detections(tmp_path, shared):
    folder = shared / "data" / "coco128"
    path = folder / "instances_train2017_128.json"
    source = Coco(path, folder / "train2017")
    truth = [source.annotations(i) for i in range(len(source))]
    rng = np.random.default_rng(0)
    found = [
        (np.full(len(t.boxes), i), t.boxes + rng.normal(0, 4, t.boxes.shape), t.classes)
        for i, t in enumerate(truth)
    ]
    image_index, boxes, classes = map(np.concatenate, zip(*found, strict=True))
    detections = {
        "image_index": image_index,
        "boxes": boxes.astype(np.float32),
        "scores": rng.permutation(len(boxes)).astype(np.float32) / len(boxes),
        "classes": classes,
    }
    rows = coco_results([t.image_id for t in truth], source.labels.ids, **detections)
    (tmp_path / "detections.json").write_text(json.dumps(rows))
    oracle = COCO(str(path))
    evaluation = COCOeval(
        oracle, oracle.loadRes(str(tmp_path / "detections.json")), "bbox"
    )
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    ours = coco_figures(truth, **detections, num_classes=source.labels.num_classes)
    assert 0.2 < ours.summary["AP"] < 0.95
    np.testing.assert_allclose(list(ours.summary.values()), evaluation.stats, atol=2e-3)


def test_ids_are_those_of_the_data_whatever_they_are(tmp_path):
    boxes = geometry.random_boxes(np.random.default_rng(0), (3,), 50, sides=(3, 20))
    document = {
        "images": [
            {"id": "a b", "file_name": "a.png", "height": 9, "width": 9},
            {"id": 7, "file_name": "a.png", "height": 9, "width": 9},
        ],
        "annotations": [],
        "categories": [{"id": 0, "name": "big dog"}, {"id": 90, "name": "cat"}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    (tmp_path / "a.png").write_bytes(b"")
    source = Coco(tmp_path / "boxes.json", tmp_path)
    rows = coco_results(
        [source.annotations(i).image_id for i in range(2)],
        source.labels.ids,
        image_index=np.array([1, 0, 1]),
        boxes=boxes.astype(np.float32),
        scores=np.array([0.5, 0.25, 1], np.float32),
        classes=np.array([1, 0, 0]),
    )
    assert [(r["image_id"], r["category_id"], r["score"]) for r in rows] == [
        (7, 90, 0.5),
        ("a b", 0, 0.25),
        (7, 0, 1.0),
    ]
    y0, x0, y1, x1 = boxes[1]
    assert rows[1]["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=1e-3)
    json.dumps(rows)
