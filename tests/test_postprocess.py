from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
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


def check(detections, boxes, scores, classes, *, score_tolerance=1e-5):
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
            [row[1] for row in found],
            [row[1] for row in truth],
            rtol=score_tolerance,
        )
        np.testing.assert_allclose(
            [row[2] for row in found], [row[2] for row in truth], rtol=1e-5, atol=1e-4
        )
    assert (np.diff(detections.scores, axis=1) <= 0).all()


@pytest.fixture(scope="module")
def automl(shared):
    """The outputs of D0 for two images of 256 pixels, its anchors, and detections."""
    folder = shared / "reference/automl"
    maps = np.load(folder / "d0_256_outputs.npz")
    outputs = Outputs(
        jnp.asarray(recorded.flatten_levels(maps, "cls_{}", 90)),
        jnp.asarray(recorded.flatten_levels(maps, "box_{}", 4)),
    )
    anchors = np.load(folder / "anchors.npz")["d0_256"]
    return outputs, anchors, np.load(folder / "postprocess_d0_256.npz")


ALL_ANCHORS = {"candidates": "best_class", "max_candidates": 0}
# What its settings are called here. Unset, soft suppression has a threshold of 0.001.
AUTOML = {
    "gaussian_default": {
        "method": "gaussian",
        "score_threshold": 0.001,
        **ALL_ANCHORS,
    },
    "gaussian_thr0.05": {"method": "gaussian", "score_threshold": 0.05, **ALL_ANCHORS},
    "gaussian_maxin5000": {"method": "gaussian", "score_threshold": 0.001},
    "hard_default": ALL_ANCHORS,
    "hard_iou0.3_thr0.1": {
        "iou_threshold": 0.3,
        "score_threshold": 0.1,
        **ALL_ANCHORS,
    },
    "hard_maxin5000": {},
}
MODES = {
    "per_class": {"per_class": True, "clip": "never"},
    "global": {"per_class": False, "clip": "after"},
}


@pytest.mark.parametrize("settings", AUTOML)
@pytest.mark.parametrize("mode", MODES)
def test_detections_meet_the_reference(automl, mode, settings):
    outputs, anchors, recording = automl
    name = f"{mode}/{settings}"
    # It is in pixels of the original image, and counts classes from 1.
    boxes = recording[f"{name}/boxes"] / recording["image_scales"][:, None, None]
    check(
        detect(outputs, anchors, **MODES[mode], **AUTOML[settings]),
        boxes,
        recording[f"{name}/scores"],
        recording[f"{name}/classes"].astype(int) - 1,
    )


@pytest.fixture(scope="module")
def effdet(shared):
    """The outputs of tf_efficientdet_d0 for two images, its anchors, and detections."""
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
    return outputs, anchors, np.load(folder / "tf_efficientdet_d0_256_det.npz")


def check_effdet(detections, expected, *, scale=1.0, score_tolerance=1e-5):
    check(
        detections,
        expected[..., [1, 0, 3, 2]] / scale,
        expected[..., 4],
        expected[..., 5].astype(int) - 1,
        score_tolerance=score_tolerance,
    )


def test_detections_meet_the_pytorch_port(effdet):
    outputs, anchors, recording = effdet
    logits, rows, classes = top_pairs(outputs.class_logits, 5000)
    np.testing.assert_array_equal(logits, recording["topk_logit"][..., 0])
    np.testing.assert_array_equal(
        np.sort(rows * 90 + classes),
        np.sort(recording["topk_anchor"] * 90 + recording["topk_class"]),
    )
    check_effdet(detect(outputs, anchors, clip="never"), recording["det"])


@pytest.mark.parametrize("image", [0, 1])
def test_detections_meet_the_pytorch_port_that_knows_the_image(effdet, image):
    outputs, anchors, recording = effdet
    scale = recording["img_scale"][image]
    width, height = (recording["img_size_wh"][image] / scale).tolist()
    one = jax.tree.map(lambda x: x[image : image + 1], outputs)
    found = detect(one, anchors, image_size=(height, width), clip="before")
    check_effdet(found, recording["det_img_info"][image : image + 1], scale=scale)


def test_soft_suppression_meets_the_pytorch_port(effdet):
    outputs, anchors, recording = effdet
    found = detect(
        outputs, anchors, method="gaussian", score_threshold=0.001, clip="never"
    )
    # It moves classes thousands of pixels apart instead of telling them apart, which
    # costs its IoUs digits; as the next test shows, nothing else.
    check_effdet(found, recording["det_soft"], score_tolerance=1e-3)


@pytest.mark.parametrize("image", [0, 1])
def test_soft_suppression_with_moved_classes_is_that_of_the_pytorch_port(effdet, image):
    outputs, anchors, recording = effdet
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
@pytest.mark.parametrize(("method", "threshold"), [("hard", 0.65), ("gaussian", 0.6)])
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
        max_detections=50,
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
            count=50,
            decay=suppression.DECAYS[method],
            threshold=threshold,
            per_class=per_class,
        )
        n = len(boxes)
        assert 5 < n < 50
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
