import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import geometry, recorded

from efdet_jax import boxes as boxes_lib

RNG = np.random.default_rng(0)


def test_iou_equals_the_textbook_to_the_last_bit_under_jit():
    a = geometry.random_boxes(RNG, (8,), 100)
    b = np.concatenate([geometry.random_boxes(RNG, (1500,), 100), a])
    expected = geometry.iou_table(a, b)
    assert (expected > 0).sum() > 1000
    np.testing.assert_array_equal(jax.jit(boxes_lib.iou)(a, b), expected)


def test_iou_of_a_batch_is_the_iou_of_each_image():
    a, b = (geometry.random_boxes(RNG, (3, n), 100) for n in (7, 5))
    each = [boxes_lib.iou(x, y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_array_equal(boxes_lib.iou(a, b), np.stack(each))


@pytest.mark.parametrize(
    "empty",
    [
        [0.0, 0.0, 0.0, 0.0],  # padding
        [5.0, 5.0, 5.0, 9.0],  # no height
        [9.0, 9.0, 2.0, 2.0],  # both sides negative: their product is not
    ],
)
def test_an_empty_box_overlaps_nothing_and_has_finite_gradients(empty):
    box = np.array([empty], np.float32)
    whole = np.array([[0.0, 0.0, 10.0, 10.0]], np.float32)
    assert boxes_lib.area(box) == 0
    for other in (whole, box):
        assert boxes_lib.iou(box, other) == 0
    gradient = jax.grad(lambda x: boxes_lib.iou(x, jnp.asarray(whole))[0, 0])(box)
    assert np.isfinite(gradient).all()


def test_area_counts_square_pixels():
    boxes = np.array([[1.0, 2.0, 4.0, 7.0], [0.0, 0.0, 0.5, 0.5]], np.float32)
    np.testing.assert_array_equal(boxes_lib.area(boxes), [15.0, 0.25])


def test_clip_moves_corners_to_the_edge_of_a_high_image():
    boxes = np.array([[-3.0, -4.0, 300.0, 200.0], [1.0, 2.0, 3.0, 4.0]], np.float32)
    expected = [[0.0, 0.0, 200.0, 100.0], [1.0, 2.0, 3.0, 4.0]]
    np.testing.assert_array_equal(boxes_lib.clip(boxes, (200, 100)), expected)


def test_decode_undoes_encode():
    anchors, boxes = (geometry.random_boxes(RNG, (2, 500), 512) for _ in range(2))
    round_trip = boxes_lib.decode(anchors, boxes_lib.encode(anchors, boxes))
    np.testing.assert_allclose(round_trip, boxes, rtol=1e-5, atol=1e-3)


def test_an_anchor_that_is_the_box_has_the_code_zero():
    anchors = geometry.random_boxes(RNG, (10,), 512)
    np.testing.assert_array_equal(boxes_lib.encode(anchors, anchors), 0)


def test_encode_of_an_empty_box_is_finite():
    anchors = geometry.random_boxes(RNG, (1,), 512)
    assert np.isfinite(boxes_lib.encode(anchors, np.zeros_like(anchors))).all()


def test_decode_follows_its_definition():
    anchors = geometry.random_boxes(RNG, (50,), 512)
    codes = RNG.normal(size=(50, 4)).astype(np.float32)
    expected = [geometry.decode_one(*pair) for pair in zip(anchors, codes, strict=True)]
    decoded = boxes_lib.decode(anchors, codes)
    np.testing.assert_allclose(decoded, expected, rtol=1e-5, atol=1e-3)


def check_decode(anchors, codes, expected):
    anchors = np.broadcast_to(anchors, codes.shape)
    decoded = boxes_lib.decode(anchors, codes)
    # A corner near 0 is a difference of large numbers: the side is the yardstick.
    side = np.abs(expected).max(axis=-1, keepdims=True)
    np.testing.assert_allclose(decoded / side, expected / side, atol=1e-5, rtol=1e-5)


def test_decode_meets_the_reference():
    golden = recorded.automl()
    check_decode(
        golden["decode/anchors"], golden["decode/codes"], golden["decode/boxes"]
    )


def test_decode_meets_the_whole_reference(shared):
    whole = np.load(shared / "reference/automl/box_decode.npz")
    check_decode(whole["anchors"], whole["pred_tytxthtw"], whole["decoded_yxyx"])
