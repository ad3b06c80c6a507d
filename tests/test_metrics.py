import contextlib
import io

import numpy as np
import pytest
from oracles.geometry import iou_table
from oracles.verdicts import share_inside
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from efdet_jax.metrics import SUMMARY, coco_curves, coco_figures, overlaps
from efdet_jax.structures import Annotations, SplitDetections

NO_DETECTIONS = {
    "image_index": np.zeros(0, int),
    "boxes": np.zeros((0, 4)),
    "scores": np.zeros(0),
    "classes": np.zeros(0, int),
}


def random_boxes(rng, n, size=640):
    corner = rng.uniform(0, size * 0.8, (n, 2))
    return np.concatenate([corner, corner + np.exp(rng.uniform(1, 5.5, (n, 2)))], 1)


def random_truth(rng, *, image_ids, num_classes, max_objects=12, crowd=0.0):
    truth = []
    for image_id in image_ids:
        n = rng.integers(0, max_objects + 1)
        boxes = random_boxes(rng, n)
        truth.append(
            Annotations(
                image_id=image_id,
                height=640,
                width=640,
                boxes=boxes,
                classes=rng.integers(0, num_classes, n),
                is_crowd=rng.random(n) < crowd,
                area=(boxes[:, 2:] - boxes[:, :2]).prod(1) * rng.uniform(0.5, 1, n),
            )
        )
    return truth


def random_detections(rng, truth, *, per_image, num_classes, levels=None):
    """Shaken copies of true boxes among random ones; `levels` makes scores tie."""
    parts = []
    for index, image in enumerate(truth):
        boxes = random_boxes(rng, per_image)
        classes = rng.integers(0, num_classes, per_image)
        for row in range(per_image if len(image.boxes) else 0):
            if rng.random() < 0.6:
                object_ = rng.integers(len(image.boxes))
                boxes[row] = image.boxes[object_] + rng.normal(0, 3, 4)
                boxes[row, 2:] = np.maximum(boxes[row, 2:], boxes[row, :2] + 1)
                classes[row] = image.classes[object_]
        scores = rng.random(per_image)
        if levels:
            scores = np.floor(scores * levels) / levels
        parts.append((np.full(per_image, index), boxes, scores, classes))
    fields = map(np.concatenate, zip(*parts, strict=True))
    return dict(zip(NO_DETECTIONS, fields, strict=True))


def xywh(box):
    y0, x0, y1, x1 = map(float, box)
    return [x0, y0, x1 - x0, y1 - y0]


def pycocotools_stats(truth, found, num_classes):
    """The twelve figures from dictionaries; ids are the data set's own."""
    dataset = {
        "images": [{"id": a.image_id, "height": 640, "width": 640} for a in truth],
        "categories": [{"id": c, "name": str(c)} for c in range(num_classes)],
        "annotations": [
            {
                "image_id": a.image_id,
                "category_id": int(c),
                "bbox": xywh(box),
                "area": float(area),
                "iscrowd": int(crowd),
            }
            for a in truth
            for box, c, area, crowd in zip(
                a.boxes, a.classes, a.area, a.is_crowd, strict=True
            )
        ],
    }
    for id_, annotation in enumerate(dataset["annotations"], start=1):
        annotation["id"] = id_
    detections = [
        {
            "id": row + 1,
            "image_id": truth[index].image_id,
            "category_id": int(class_),
            "bbox": xywh(box),
            "area": float(np.prod(xywh(box)[2:])),
            "score": float(score),
            "iscrowd": 0,
        }
        for row, (index, box, score, class_) in enumerate(
            zip(*(found[field] for field in NO_DETECTIONS), strict=True)
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        oracle, predicted = COCO(), COCO()
        oracle.dataset = dataset
        predicted.dataset = {**dataset, "annotations": detections}
        oracle.createIndex()
        predicted.createIndex()
        evaluation = COCOeval(oracle, predicted, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def assert_equal_to_pycocotools(truth, found, num_classes):
    ours = coco_figures(truth, **found, num_classes=num_classes)
    oracle = pycocotools_stats(truth, found, num_classes)
    stats = oracle.stats
    expected = dict(zip(SUMMARY, np.where(stats < 0, np.nan, stats), strict=True))
    np.testing.assert_equal(ours.summary, expected)
    for class_, figure in enumerate(ours.class_ap):
        precision = oracle.eval["precision"][:, :, class_, 0, -1]
        expected = precision.mean() if precision.min() > -1 else np.nan
        np.testing.assert_allclose(figure, expected, rtol=1e-12)
    curves = coco_curves(truth, SplitDetections(**found), num_classes)
    precision = np.where(oracle.eval["precision"] < 0, np.nan, oracle.eval["precision"])
    np.testing.assert_array_equal(curves.precision, precision[:, :, :, 0, -1])
    by_area = precision[..., -1].mean(axis=(0, 1))
    np.testing.assert_allclose(curves.area_ap, by_area, rtol=1e-12)
    return ours


CASES = {
    "plain": {},
    "crowd": {"truth": {"crowd": 0.3}},
    "more than 100 of one class in an image": {
        "images": 6,
        "num_classes": 1,
        "truth": {"max_objects": 40},
        "found": {"per_image": 260},
    },
    "tied scores, within and across images": {"found": {"levels": 4}},
    "all scores tied, ids out of order": {"shuffle": True, "found": {"levels": 1}},
    "text as image ids": {"text": True, "shuffle": True, "found": {"levels": 3}},
    "image id 0": {"first_id": 0},
    "one class has no objects": {"unseen": 1},
    "float32 boxes and scores": {"dtype": np.float32},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_all_figures_equal_those_of_pycocotools_bit_for_bit(case):
    rng = np.random.default_rng(7)
    num_classes = case.get("num_classes", 5)
    ids = np.arange(case.get("images", 40))
    ids = (ids + case.get("first_id", 100)).tolist()
    if case.get("shuffle"):
        rng.shuffle(ids)
    if case.get("text"):
        ids = [f"image {id_}" for id_ in ids]
    seen = num_classes - case.get("unseen", 0)
    truth = random_truth(rng, image_ids=ids, num_classes=seen, **case.get("truth", {}))
    detections = {"per_image": 30, **case.get("found", {})}
    found = random_detections(rng, truth, num_classes=num_classes, **detections)
    dtype = case.get("dtype", np.float64)
    found["boxes"] = found["boxes"].astype(dtype)
    found["scores"] = found["scores"].astype(dtype)
    figures = assert_equal_to_pycocotools(truth, found, num_classes)
    assert 0.02 < figures.summary["AP"] < 0.95
    assert np.isnan(figures.class_ap[seen:]).all()
    assert np.isfinite(figures.class_ap[:seen]).all()


def test_objects_without_detections_score_zero():
    rng = np.random.default_rng(0)
    truth = random_truth(rng, image_ids=range(9), num_classes=2)
    figures = assert_equal_to_pycocotools(truth, NO_DETECTIONS, 2)
    assert set(figures.summary.values()) == {0.0}


@pytest.mark.parametrize("num_images", [0, 3])
def test_figures_about_nothing_are_nan(num_images):
    truth = random_truth(
        np.random.default_rng(0),
        image_ids=range(num_images),
        num_classes=2,
        max_objects=0,
    )
    found = NO_DETECTIONS
    if num_images:
        rng = np.random.default_rng(0)
        found = random_detections(rng, truth, per_image=4, num_classes=2)
    figures = assert_equal_to_pycocotools(truth, found, 2)
    assert np.isnan(list(figures.summary.values())).all()


def test_the_truth_itself_scores_one_and_half_of_it_recalls_half():
    boxes = np.array([[0, 0, 50, 50], [100, 100, 180, 180]], float)
    truth = [
        Annotations(
            image_id=3,
            height=640,
            width=640,
            boxes=boxes,
            classes=np.zeros(2, int),
            is_crowd=np.zeros(2, bool),
            area=np.array([2500.0, 6400.0]),
        )
    ]

    def figures(rows):
        n = len(rows)
        return coco_figures(
            truth,
            image_index=np.zeros(n, int),
            boxes=boxes[rows],
            scores=np.ones(n),
            classes=np.zeros(n, int),
            num_classes=1,
        ).summary

    assert figures([0, 1])["AP"] == pytest.approx(1)
    assert figures([0])["AR100"] == pytest.approx(0.5)
    assert figures([0, 1])["AR1"] == pytest.approx(0.5)
    assert np.isnan(figures([0])["APs"])


def test_real_boxes_of_coco128_equal_pycocotools_on_the_original_file(shared):
    from efdet_jax.data.coco import Coco

    folder = shared / "data" / "coco128"
    path = folder / "instances_train2017_128.json"
    source = Coco(path, folder / "train2017")
    truth = [source.annotations(i) for i in range(len(source))]
    rng = np.random.default_rng(3)
    found = random_detections(rng, truth, per_image=20, num_classes=80)
    ours = coco_figures(truth, **found, num_classes=80)
    rows = [
        [truth[i].image_id, *xywh(box), score, source.labels.ids[class_]]
        for i, box, score, class_ in zip(*found.values(), strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        oracle = COCO(str(path))
        evaluation = COCOeval(oracle, oracle.loadRes(np.array(rows)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert list(ours.summary.values()) == evaluation.stats.tolist()


def test_overlaps_are_those_of_pairs_and_with_a_crowd_the_share_inside():
    rng = np.random.default_rng(0)
    found, boxes = random_boxes(rng, 30, 200), random_boxes(rng, 20, 200)
    is_crowd = rng.random(20) < 0.5
    expected = iou_table(found, boxes)
    for row, box in enumerate(found):
        for column in np.flatnonzero(is_crowd):
            expected[row, column] = share_inside(box, boxes[column])
    ours = overlaps(found, boxes, is_crowd)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    assert overlaps(found[:0], boxes, is_crowd).shape == (0, 20)
    assert overlaps(found, boxes[:0], is_crowd[:0]).shape == (30, 0)


def test_a_score_that_is_no_number_is_an_error(capfd):
    truth = random_truth(np.random.default_rng(0), image_ids=[1], num_classes=1)
    found = random_detections(
        np.random.default_rng(0), truth, per_image=1, num_classes=1
    )
    found["scores"][0] = np.nan
    with pytest.raises(ValueError, match="NaN score"):
        coco_figures(truth, **found, num_classes=1)


def test_nothing_is_printed(capfd):
    truth = random_truth(np.random.default_rng(0), image_ids=[1], num_classes=1)
    coco_figures(truth, **NO_DETECTIONS, num_classes=1)
    assert capfd.readouterr() == ("", "")
