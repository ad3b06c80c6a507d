from functools import partial

import jax
import numpy as np
import pytest
from oracles import geometry, matching, recorded

from efdet_jax import boxes as boxes_lib
from efdet_jax.anchors import anchor_grid
from efdet_jax.structures import BACKGROUND, IGNORED
from efdet_jax.targets import assign

ASPECTS = (1.0, 2.0, 0.5)
CASES = (
    "A_256_generic",
    "B_256_special",
    "E_256_one_far_outside",
    "F_256_empty",
    "G_256_two_tiny_same_anchor",
)


def grid(size):
    return anchor_grid(size, levels=(3, 7), scale=4.0, octaves=3, aspect_ratios=ASPECTS)


def pad(boxes, classes, rows):
    missing = rows - len(boxes)
    boxes = np.pad(boxes, ((0, missing), (0, 0)))
    classes = np.pad(classes, (0, missing), constant_values=BACKGROUND)
    return boxes[None].astype(np.float32), classes[None].astype(np.int32)


@partial(jax.jit, static_argnames=("match_iou", "ignore_coverage"))
def run(anchors, boxes, classes, match_iou=0.5, ignore_coverage=0.5):
    return assign(
        anchors,
        boxes,
        classes,
        match_iou=match_iou,
        ignore_coverage=ignore_coverage,
    )


def check(targets, rows, classes, codes):
    """The positive anchors are `rows` with these classes and codes; no others are."""
    num_anchors = targets.classes.shape[1]
    expected_classes = np.full(num_anchors, BACKGROUND)
    expected_classes[rows] = classes
    expected_codes = np.zeros((num_anchors, 4))
    expected_codes[rows] = codes
    np.testing.assert_array_equal(targets.classes[0], expected_classes)
    np.testing.assert_allclose(
        targets.box_codes[0], expected_codes, rtol=1e-5, atol=1e-6
    )
    assert targets.num_positives[0] == len(rows)


@pytest.mark.parametrize("case", CASES)
def test_targets_meet_the_reference(case):
    golden = recorded.automl()
    name = f"labels/{case}"
    boxes, classes = pad(golden[f"{name}/boxes"], golden[f"{name}/classes"], 10)
    check(
        run(grid((256, 256)), boxes, classes),
        golden[f"{name}/positive_rows"],
        golden[f"{name}/positive_classes"],
        golden[f"{name}/positive_codes"],
    )


def small_problem(seed, images=3, rows=12):
    """Random boxes of which some repeat, some lie outside and some are padding."""
    rng = np.random.default_rng(seed)
    boxes = geometry.random_boxes(rng, (images, rows), 64, sides=(3, 60))
    boxes[:, 1] = boxes[:, 0]
    boxes[:, 2] += 500
    classes = rng.integers(0, 5, (images, rows)).astype(np.int32)
    for image in range(images):
        classes[image, rng.integers(3, rows + 1) :] = BACKGROUND
    return boxes, classes


@pytest.mark.parametrize("seed", range(4))
def test_targets_equal_a_loop_over_objects_and_anchors(seed):
    anchors = anchor_grid(
        (64, 64), levels=(3, 5), scale=4.0, octaves=2, aspect_ratios=ASPECTS
    )
    boxes, classes = small_problem(seed)
    targets = run(anchors, boxes, classes, match_iou=0.4)
    for image in range(len(boxes)):
        objects = np.flatnonzero(classes[image] != BACKGROUND)
        owner = matching.owners(anchors, boxes[image, objects], 0.4)
        rows = np.flatnonzero(owner >= 0)
        winners = boxes[image, owner[rows]]
        check(
            jax.tree.map(lambda x, i=image: x[i : i + 1], targets),
            rows,
            classes[image, owner[rows]],
            boxes_lib.encode(anchors[rows], winners),
        )


def test_an_object_outside_of_every_anchor_takes_anchor_0():
    boxes, classes = pad(np.array([[900.0, 900.0, 910.0, 910.0]]), np.array([3]), 2)
    targets = run(grid((128, 128)), boxes, classes)
    assert np.flatnonzero(targets.classes[0] == 3).tolist() == [0]


def test_an_overlap_equal_to_the_threshold_is_a_match():
    boxes, classes = pad(np.array([[0.0, 0.0, 32.0, 16.0]]), np.array([1]), 1)
    anchors = np.concatenate([boxes[0], [[0.0, 0.0, 32.0, 32.0]]]).astype(np.float32)
    assert run(anchors, boxes, classes, match_iou=0.5).num_positives[0] == 2
    assert run(anchors, boxes, classes, match_iou=0.51).num_positives[0] == 1


def test_the_later_of_two_equal_objects_gets_nothing():
    box = [20.0, 20.0, 60.0, 60.0]
    targets = run(grid((128, 128)), *pad(np.array([box, box]), np.array([1, 2]), 2))
    assert (targets.classes == 1).any()
    assert not (targets.classes == 2).any()


def test_a_batch_without_objects_is_all_background():
    boxes = np.full((2, 4, 4), 7.0, np.float32)
    boxes[..., 2:] += 32
    targets = run(grid((128, 128)), boxes, np.full((2, 4), BACKGROUND, np.int32))
    assert (targets.classes == BACKGROUND).all()
    assert (targets.box_codes == 0).all()
    assert (targets.num_positives == 0).all()


def test_padding_between_objects_and_after_them_changes_nothing():
    anchors = grid((128, 128))
    boxes, classes = small_problem(9, images=1, rows=6)
    classes[:] = [[0, 1, 2, 3, 4, 0]]
    wide_boxes = np.full((1, 15, 4), 30.0, np.float32)
    wide_boxes[..., 2:] += 50
    wide_classes = np.full((1, 15), BACKGROUND, np.int32)
    wide_boxes[:, 1:13:2], wide_classes[:, 1:13:2] = boxes, classes
    narrow, wide = run(anchors, boxes, classes), run(anchors, wide_boxes, wide_classes)
    jax.tree.map(np.testing.assert_array_equal, narrow, wide)


def test_images_of_a_batch_do_not_see_each_other():
    anchors = grid((64, 64))
    boxes, classes = small_problem(5, images=4)
    order = np.array([2, 0, 3, 1])
    straight, shuffled = (
        run(anchors, boxes[i], classes[i]) for i in (np.arange(4), order)
    )
    expected = jax.tree.map(lambda x: x[order], straight)
    jax.tree.map(np.testing.assert_array_equal, expected, shuffled)


def share_inside(anchor, region):
    """What share of an anchor lies in a region, counted pixel by pixel."""
    y, x = np.mgrid[-40:160, -40:160] + 0.5
    inside = [
        (y > y0) & (y < y1) & (x > x0) & (x < x1) for y0, x0, y1, x1 in (anchor, region)
    ]
    return (inside[0] & inside[1]).sum() / inside[0].sum()


@pytest.mark.parametrize("seed", range(3))
def test_anchors_in_a_crowd_are_ignored_unless_they_have_an_object(seed):
    rng = np.random.default_rng(seed)
    anchors = anchor_grid(
        (64, 64), levels=(3, 5), scale=2.0, octaves=1, aspect_ratios=(1.0,)
    )
    # Whole pixels, so that they can be counted.
    assert (anchors == anchors.round()).all()
    boxes, classes = small_problem(seed)
    boxes = boxes.round()
    is_region = rng.random(classes.shape) < 0.4
    classes = np.where(is_region & (classes != BACKGROUND), IGNORED, classes)
    targets = run(anchors, boxes, classes, ignore_coverage=0.5)
    without = np.where(classes == IGNORED, BACKGROUND, classes)
    plain = run(anchors, boxes, without)
    num_ignored = 0
    for image in range(len(boxes)):
        regions = boxes[image][classes[image] == IGNORED]
        for a, anchor in enumerate(anchors):
            expected = plain.classes[image, a]
            shares = [share_inside(anchor, region) for region in regions]
            if expected == BACKGROUND and max(shares, default=0) >= 0.5:
                expected = IGNORED
            assert targets.classes[image, a] == expected
            num_ignored += expected == IGNORED
    assert num_ignored > 10
    np.testing.assert_array_equal(targets.box_codes, plain.box_codes)
    np.testing.assert_array_equal(targets.num_positives, plain.num_positives)


def test_nothing_is_ignored_above_a_coverage_of_one():
    boxes = np.array([[[0, 0, 64, 64]]], np.float32)
    classes = np.full((1, 1), IGNORED, np.int32)
    assert (run(grid((64, 128)), boxes, classes).classes == IGNORED).any()
    targets = run(grid((64, 128)), boxes, classes, ignore_coverage=2.0)
    assert (targets.classes == BACKGROUND).all()
