from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import geometry, recorded, suppression

from efdet_jax.anchors import anchor_grid
from efdet_jax.postprocess import postprocess, suppress, top_pairs
from efdet_jax.structures import BACKGROUND, Outputs

KNOBS = {
    "image_size": (256, 256),
    "max_candidates": 5000,
    "max_detections": 100,
    "iou_threshold": 0.5,
    "score_threshold": 0.0,
}


def detect(outputs, anchors, **knobs):
    return jax.jit(partial(postprocess, **{**KNOBS, **knobs}))(outputs, anchors)


def check(detections, boxes, scores, classes):
    """Row by row, where rows of scores that differ by rounding may change places."""
    for image in range(len(boxes)):
        found, truth = (
            sorted(zip(c.tolist(), s.tolist(), b.tolist(), strict=True))
            for c, s, b in (
                [np.asarray(x[image]) for x in detections[::-1]],
                [classes[image], scores[image], boxes[image]],
            )
        )
        assert [row[0] for row in found] == [row[0] for row in truth]
        np.testing.assert_allclose(
            [row[1] for row in found], [row[1] for row in truth], rtol=1e-5
        )
        np.testing.assert_allclose(
            [row[2] for row in found], [row[2] for row in truth], rtol=1e-5, atol=2e-3
        )
    assert (np.diff(detections.scores, axis=1) <= 0).all()


def test_detections_meet_the_reference(shared):
    folder = shared / "reference/automl"
    maps = np.load(folder / "d0_256_outputs.npz")
    recording = np.load(folder / "postprocess_d0_256.npz")
    outputs = Outputs(
        jnp.asarray(recorded.flatten_levels(maps, "cls_{}", 90)),
        jnp.asarray(recorded.flatten_levels(maps, "box_{}", 4)),
    )
    anchors = np.load(folder / "anchors.npz")["d0_256"]
    name = "per_class/hard_maxin5000"
    # It leaves boxes unclipped, in pixels of the original image, and counts from 1.
    boxes = recording[f"{name}/boxes"] / recording["image_scales"][:, None, None]
    check(
        detect(outputs, anchors),
        np.clip(boxes, 0, 256),
        recording[f"{name}/scores"],
        recording[f"{name}/classes"].astype(int) - 1,
    )


def test_detections_meet_the_pytorch_port(shared):
    folder = shared / "reference/effdet"
    maps = dict(np.load(folder / "tf_efficientdet_d0_256_io.npz"))
    maps = {
        name: value.transpose(0, 2, 3, 1)
        for name, value in maps.items()
        if name[:4] in ("cls_", "box_")
    }
    outputs = Outputs(
        jnp.asarray(recorded.flatten_levels(maps, "cls_{}", 90, range(5))),
        jnp.asarray(recorded.flatten_levels(maps, "box_{}", 4, range(5))),
    )
    anchors = np.load(folder / "tf_efficientdet_d0_256_loss.npz")["anchors_yxyx"]
    recording = np.load(folder / "tf_efficientdet_d0_256_det.npz")
    logits, rows, classes = top_pairs(outputs.class_logits, 5000)
    np.testing.assert_array_equal(logits, recording["topk_logit"][..., 0])
    np.testing.assert_array_equal(
        np.sort(rows * 90 + classes),
        np.sort(recording["topk_anchor"] * 90 + recording["topk_class"]),
    )
    expected = recording["det"]
    check(
        detect(outputs, anchors),
        np.clip(expected[..., [1, 0, 3, 2]], 0, 256),
        expected[..., 4],
        expected[..., 5].astype(int) - 1,
    )


def test_suppression_meets_the_reference():
    golden = recorded.automl()
    order = np.argsort(-golden["nms/scores"], kind="stable")
    expected = golden["nms/kept"]
    kept = suppress(
        jnp.asarray(golden["nms/boxes"][order])[None],
        jnp.zeros((1, len(order)), jnp.int32),
        max_detections=len(expected),
        iou_threshold=0.5,
    )
    np.testing.assert_array_equal(order[kept[0]], expected)


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


def random_outputs(rng, images, anchors, num_classes):
    return Outputs(
        jnp.asarray(rng.normal(size=(images, anchors, num_classes)), jnp.float32),
        jnp.asarray(rng.normal(size=(images, anchors, 4)) * 0.2, jnp.float32),
    )


@pytest.mark.parametrize("candidates", [30, 70])
def test_detections_equal_sorting_and_looping(candidates):
    rng = np.random.default_rng(candidates)
    anchors = geometry.random_boxes(rng, (60,), 50, sides=(10, 40))
    anchors[10:20] = anchors[0]  # duplicates
    outputs = random_outputs(rng, 2, 60, 3)
    detections = detect(
        outputs,
        anchors,
        image_size=(40, 50),
        max_candidates=candidates,
        max_detections=50,
        score_threshold=0.65,
    )
    for image in range(2):
        boxes, scores, classes = suppression.detect(
            *(np.asarray(x[image]) for x in outputs),
            anchors,
            size=(40, 50),
            candidates=candidates,
            count=50,
            iou=0.5,
            score=0.65,
        )
        n = len(boxes)
        assert 15 < n < 50
        np.testing.assert_array_equal(detections.classes[image, :n], classes)
        np.testing.assert_allclose(detections.scores[image, :n], scores, rtol=1e-5)
        np.testing.assert_allclose(detections.boxes[image, :n], boxes, atol=1e-4)
        assert (detections.classes[image, n:] == BACKGROUND).all()
        assert (detections.scores[image, n:] == 0).all()
        assert (detections.boxes[image, n:] == 0).all()


def test_one_box_may_be_two_classes_but_not_twice_one_class():
    anchors = np.array([[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.0, 9.5]], np.float32)
    logits = jnp.array([[[3.0, 2.0], [1.0, -1.0]]])
    detections = detect(Outputs(logits, jnp.zeros((1, 2, 4))), anchors)
    assert detections.classes[0, :3].tolist() == [0, 1, BACKGROUND]


def test_an_overlap_equal_to_the_threshold_is_kept():
    boxes = jnp.array([[[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]]])  # IoU 0.5
    classes = jnp.zeros((1, 2), jnp.int32)
    for threshold, expected in ((0.5, [0, 1]), (0.49, [0, 2])):
        kept = suppress(boxes, classes, max_detections=2, iou_threshold=threshold)
        assert kept[0].tolist() == expected


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
