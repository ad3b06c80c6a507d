import numpy as np
import pytest
from oracles import geometry

from efdet_jax import boxes as boxes_lib
from efdet_jax.anchors import anchor_grid
from efdet_jax.inspection.coverage import advise, best_iou

SETTINGS = {
    "levels": (3, 6),
    "scale": 3.0,
    "octaves": 2,
    "aspect_ratios": (1.0, 2.0, (0.7, 1.4)),
}


@pytest.mark.parametrize("size", [(128, 128), (100, 173)])
def test_the_best_anchor_is_that_among_all(size):
    rng = np.random.default_rng(0)
    boxes = geometry.random_boxes(rng, (200,), 100, sides=(3, 90))
    expected = np.asarray(boxes_lib.iou(boxes, anchor_grid(size, **SETTINGS)))
    found = best_iou(boxes.astype(np.float64), size, **SETTINGS)
    np.testing.assert_allclose(found, expected.max(axis=1), rtol=1e-5, atol=1e-7)


def test_anchors_themselves_are_matched_perfectly_and_no_boxes_are_no_matter():
    anchors = anchor_grid((64, 64), **SETTINGS).astype(np.float64)
    np.testing.assert_allclose(best_iou(anchors, (64, 64), **SETTINGS), 1, rtol=1e-6)
    assert best_iou(np.zeros((0, 4)), (64, 64), **SETTINGS).shape == (0,)


def test_small_flat_boxes_ask_for_smaller_flatter_anchors():
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 400, (300, 2))
    sides = np.stack([rng.uniform(8, 12, 300), rng.uniform(28, 40, 300)], axis=1)
    boxes = np.concatenate([corner, corner + sides], axis=1)
    present = {"scale": 4.0, "octaves": 3, "aspect_ratios": (1.0, 2.0, 0.5)}
    levels, size = (3, 7), (512, 512)
    share = float(np.mean(best_iou(boxes, size, levels=levels, **present) >= 0.5))
    advice = advise(boxes, size, levels=levels, octaves=3, share=share)
    assert share < 0.3
    assert advice is not None
    # Anchors are 8 pixels apart: no shape reaches every box of ten.
    assert advice.share > 0.75
    assert advice.scale < 4
    assert max(advice.aspect_ratios) >= 2


def test_anchors_that_do_well_are_left_alone():
    anchors = anchor_grid(
        (512, 512), levels=(3, 7), scale=4.0, octaves=3, aspect_ratios=(1.0, 2.0, 0.5)
    )
    boxes = np.random.default_rng(0).permutation(anchors)[:200].astype(np.float64)
    assert advise(boxes, (512, 512), levels=(3, 7), octaves=3, share=0.99) is None
