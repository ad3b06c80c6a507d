from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from measures.around import effdet_outputs
from oracles import geometry, recorded, suppression

from efdet_jax import boxes as boxes_lib
from efdet_jax.anchors import anchor_grid
from efdet_jax.postprocess import (
    CLIPS,
    METHODS,
    best_classes,
    postprocess,
    suppress,
    top_pairs,
)
from efdet_jax.structures import BACKGROUND, Outputs

KNOBS = {
    "image_size": (256, 256),
    "candidates": "pairs",
    "max_candidates": 5000,
    "per_class": True,
    "method": "hard",
    "iou_threshold": 0.5,
    "sigma": 0.5,
    "score_threshold": 0.0,
    "max_detections": 100,
    "clip": "after",
}


def detect(outputs, anchors, **knobs):
    return jax.jit(partial(postprocess, **{**KNOBS, **knobs}))(outputs, anchors)


def test_pairs_are_picked_as_by_the_pytorch_port(shared):
    folder = shared / "reference"
    recording = np.load(folder / "effdet/tf_efficientdet_d0_256_det.npz")
    logits, rows, classes = top_pairs(effdet_outputs(folder).class_logits, 5000)
    np.testing.assert_array_equal(logits, recording["topk_logit"][..., 0])
    np.testing.assert_array_equal(
        np.sort(rows * 90 + classes),
        np.sort(recording["topk_anchor"] * 90 + recording["topk_class"]),
    )


@pytest.mark.parametrize("image", [0, 1])
def test_soft_suppression_with_moved_classes_is_that_of_the_pytorch_port(shared, image):
    """What it does otherwise, moving classes thousands of pixels apart, costs digits.

    That is why `measures.detections` allows more there.
    """
    folder = shared / "reference"
    stem = folder / "effdet/tf_efficientdet_d0_256"
    anchors = np.load(f"{stem}_loss.npz")["anchors_yxyx"]
    recording = np.load(f"{stem}_det.npz")
    outputs = effdet_outputs(folder)
    logits, rows, classes = (
        x[image : image + 1] for x in top_pairs(outputs.class_logits, 5000)
    )
    boxes = boxes_lib.decode(anchors[rows], outputs.box_codes[image][rows])
    moved = boxes + (classes * (boxes.max() + 1))[..., None]
    _, scores = suppress(
        moved,
        jax.nn.sigmoid(logits),
        jnp.zeros_like(classes),
        decay=partial(METHODS["gaussian"], iou_threshold=0.0, sigma=0.5),
        score_threshold=0.001,
        max_detections=100,
    )
    np.testing.assert_allclose(scores[0], recording["det_soft"][image, :, 4], rtol=1e-5)


def test_clipping_before_suppression_is_not_clipping_after_it():
    outside = np.array([[0, 20, 8, 28], [0, 20, 8, 36]], np.float32)  # IoU 0.5
    logits = jnp.array([[[2.0], [1.0]]])
    outputs = Outputs(logits, jnp.zeros((1, 2, 4)))
    kept = {
        clip: detect(outputs, outside, image_size=(8, 30), iou_threshold=0.6, clip=clip)
        for clip in CLIPS
    }
    assert (kept["never"].classes[0, :2] == 0).all()
    np.testing.assert_array_equal(kept["never"].boxes[0, :2], outside)
    assert (kept["after"].classes[0, :2] == 0).all()
    assert kept["after"].boxes[0, 1].tolist() == [0, 20, 8, 30]
    assert kept["before"].classes[0, :2].tolist() == [0, BACKGROUND]  # IoU 0.8


@pytest.mark.parametrize(
    ("case", "method", "threshold"),
    [
        ("hard_iou0.5", "hard", 0.0),
        ("gauss_sigma0.25_thr0.001", "gaussian", 0.001),
        ("gauss_sigma0.25_thr0.3", "gaussian", 0.3),
    ],
)
def test_suppression_meets_the_reference(case, method, threshold):
    golden = recorded.automl()
    expected = golden[f"nms/{case}/kept"]
    boxes, scores = golden["nms/boxes"], golden["nms/scores"]
    rows, kept = suppress(
        jnp.asarray(boxes)[None],
        jnp.asarray(scores)[None],
        jnp.zeros((1, len(boxes)), jnp.int32),
        # The operation's sigma is half of the formula's.
        decay=partial(METHODS[method], iou_threshold=0.5, sigma=2 * 0.25),
        score_threshold=threshold,
        max_detections=40,
    )
    count = len(expected)
    np.testing.assert_array_equal(rows[0, :count], expected)
    np.testing.assert_allclose(kept[0, :count], golden[f"nms/{case}/scores"], rtol=1e-5)
    assert (rows[0, count:] == len(boxes)).all()
    assert (kept[0, count:] == 0).all()


@pytest.mark.parametrize("count", [1, 7, 40, 1000])
def test_top_pairs_are_the_head_of_all_pairs_sorted_ties_included(count):
    rng = np.random.default_rng(count)
    logits = rng.integers(-3, 3, (2, 30, 6)).astype(np.float32)  # many ties
    best, rows, classes = top_pairs(jnp.asarray(logits), count)
    for image in range(2):
        expected = suppression.best_pairs(logits[image], count)
        found = zip(rows[image].tolist(), classes[image].tolist(), strict=True)
        assert list(found) == expected
        values = [logits[image][pair] for pair in expected]
        np.testing.assert_array_equal(best[image], values)


@pytest.mark.parametrize("count", [0, 7, 40])
def test_best_classes_are_the_first_of_every_anchor_s_best(count):
    rng = np.random.default_rng(count)
    logits = rng.integers(-3, 3, (2, 30, 6)).astype(np.float32)  # many ties
    best, rows, classes = best_classes(jnp.asarray(logits), count)
    for image in range(2):
        anchors = [(i, int(np.argmax(row))) for i, row in enumerate(logits[image])]
        if 0 < count < 30:
            anchors.sort(key=lambda pair: -logits[image][pair])  # ties stay in order
            anchors = anchors[:count]
        found = zip(rows[image].tolist(), classes[image].tolist(), strict=True)
        assert list(found) == anchors
        np.testing.assert_array_equal(best[image], [logits[image][p] for p in anchors])


def random_outputs(rng, images, anchors, num_classes):
    return Outputs(
        jnp.asarray(rng.normal(size=(images, anchors, num_classes)), jnp.float32),
        jnp.asarray(rng.normal(size=(images, anchors, 4)) * 0.2, jnp.float32),
    )


@pytest.mark.parametrize("per_class", [True, False])
@pytest.mark.parametrize(
    ("choice", "count"), [("pairs", 30), ("pairs", 70), ("pairs", 0), ("best_class", 0)]
)
@pytest.mark.parametrize(
    ("method", "threshold"), [("hard", 0.65), ("linear", 0.6), ("gaussian", 0.6)]
)
def test_detections_equal_sorting_and_looping(
    choice, count, method, threshold, per_class
):
    rng = np.random.default_rng(count)
    anchors = geometry.random_boxes(rng, (60,), 50, sides=(10, 40))
    anchors[10:20] = anchors[0]  # duplicates
    outputs = random_outputs(rng, 2, 60, 3)
    detections = detect(
        outputs,
        anchors,
        image_size=(40, 50),
        candidates=choice,
        max_candidates=count,
        max_detections=80,
        method=method,
        sigma=0.3,
        score_threshold=threshold,
        per_class=per_class,
    )
    for image in range(2):
        boxes, scores, classes = suppression.detect(
            *(np.asarray(x[image]) for x in outputs),
            anchors,
            size=(40, 50),
            candidates=suppression.CANDIDATES[choice],
            max_candidates=count or 180,
            count=80,
            decay=suppression.DECAYS[method],
            threshold=threshold,
            per_class=per_class,
        )
        n = len(boxes)
        assert 5 < n < 80
        np.testing.assert_array_equal(detections.classes[image, :n], classes)
        np.testing.assert_allclose(detections.scores[image, :n], scores, rtol=1e-5)
        np.testing.assert_allclose(detections.boxes[image, :n], boxes, atol=1e-4)
        assert (detections.classes[image, n:] == BACKGROUND).all()
        assert (detections.scores[image, n:] == 0).all()
        assert (detections.boxes[image, n:] == 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_classes_suppressed_alone_and_merged_are_those_suppressed_together(method):
    rng = np.random.default_rng(5)
    anchors = geometry.random_boxes(rng, (60,), 50, sides=(10, 40))
    outputs = random_outputs(rng, 1, 60, 3)
    together = detect(outputs, anchors, method=method, max_detections=20)
    one_class_per_image = Outputs(
        outputs.class_logits[0].T[..., None], jnp.repeat(outputs.box_codes, 3, axis=0)
    )
    alone = detect(
        one_class_per_image, anchors, method=method, max_detections=20, per_class=False
    )
    expected = np.sort(alone.scores.ravel())[::-1][:20]
    np.testing.assert_allclose(together.scores[0], expected, rtol=1e-6)


def test_soft_suppression_goes_from_keeping_apart_to_keeping_all():
    rng = np.random.default_rng(6)
    anchors = geometry.random_boxes(rng, (60,), 50, sides=(10, 40))
    outputs = random_outputs(rng, 1, 60, 1)
    every = np.sort(jax.nn.sigmoid(outputs.class_logits[0, :, 0]))[::-1]
    apart = detect(outputs, anchors, iou_threshold=0.0, max_detections=60).scores[0]
    narrow, middle, wide = (
        detect(
            outputs, anchors, method="gaussian", sigma=sigma, max_detections=60
        ).scores[0]
        for sigma in (1e-6, 0.5, 1e6)
    )
    clear = narrow > 0.01
    np.testing.assert_allclose(narrow[clear], apart[clear], rtol=1e-4)
    np.testing.assert_allclose(wide, every, rtol=1e-4)
    assert narrow.sum() < middle.sum() < wide.sum()


def test_one_box_may_be_two_classes_but_not_twice_one_class():
    anchors = np.array([[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.0, 9.5]], np.float32)
    logits = jnp.array([[[3.0, 2.0], [1.0, -1.0]]])
    detections = detect(Outputs(logits, jnp.zeros((1, 2, 4))), anchors)
    assert detections.classes[0, :3].tolist() == [0, 1, BACKGROUND]


@pytest.mark.parametrize(("threshold", "kept"), [(0.5, [0, 0]), (0.49, [0, -1])])
def test_an_overlap_equal_to_the_threshold_is_kept(threshold, kept):
    boxes = np.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]], np.float32)
    outputs = Outputs(jnp.array([[[2.0], [1.0]]]), jnp.zeros((1, 2, 4)))
    detections = detect(outputs, boxes, iou_threshold=threshold)
    assert detections.classes[0, :2].tolist() == kept


def test_nothing_above_the_score_threshold_gives_no_detection():
    rng = np.random.default_rng(0)
    anchors = geometry.random_boxes(rng, (20,), 50)
    detections = detect(random_outputs(rng, 2, 20, 3), anchors, score_threshold=1.0)
    assert (detections.classes == BACKGROUND).all()
    assert (detections.scores == 0).all()
    assert (detections.boxes == 0).all()


def test_wild_codes_give_boxes_inside_the_image():
    anchors = anchor_grid(
        (64, 64), levels=(3, 4), scale=4.0, octaves=1, aspect_ratios=(1.0,)
    )
    rng = np.random.default_rng(1)
    outputs = random_outputs(rng, 1, len(anchors), 2)
    wild = outputs._replace(box_codes=outputs.box_codes * 500)
    detections = detect(wild, anchors, image_size=(48, 64))
    assert np.isfinite(detections.boxes).all()
    assert (detections.boxes >= 0).all()
    assert detections.boxes[..., 2].max() <= 48
    assert detections.boxes[..., 3].max() <= 64


def test_images_of_a_batch_do_not_see_each_other():
    rng = np.random.default_rng(2)
    anchors = geometry.random_boxes(rng, (40,), 60)
    outputs = random_outputs(rng, 3, 40, 3)
    order = np.array([2, 0, 1])
    straight = detect(outputs, anchors)
    shuffled = detect(jax.tree.map(lambda x: x[order], outputs), anchors)
    expected = jax.tree.map(lambda x: x[order], straight)
    jax.tree.map(np.testing.assert_array_equal, shuffled, expected)
