import numpy as np
import pytest
from oracles import recorded

from efdet_jax.anchors import anchor_grid, feature_sizes

ASPECTS = (1.0, 2.0, 0.5)
GRIDS = {
    "d0_256": ((256, 256), (3, 7), 4.0),
    "d0_512": ((512, 512), (3, 7), 4.0),
    "d0_384x640_HxW": ((384, 640), (3, 7), 4.0),
    "d0_250x330_HxW": ((250, 330), (3, 7), 4.0),
    "d7_512_scale5": ((512, 512), (3, 7), 5.0),
    "d7x_512_P3toP8": ((512, 512), (3, 8), 4.0),
}


def make(name):
    size, levels, scale = GRIDS[name]
    return anchor_grid(
        size, levels=levels, scale=scale, octaves=3, aspect_ratios=ASPECTS
    )


@pytest.mark.parametrize("name", GRIDS)
def test_the_grid_meets_the_reference(name):
    golden = recorded.automl()
    grid = make(name)
    assert grid.dtype == np.float32
    assert len(grid) == golden[f"anchors/{name}__count"]
    expected = golden[f"anchors/{name}"]
    np.testing.assert_allclose(grid[::97], expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", GRIDS)
def test_feature_sizes_meet_the_reference(name):
    size, levels, _ = GRIDS[name]
    sizes = feature_sizes(size, levels)
    assert list(sizes) == list(range(levels[0], levels[1] + 1))
    # The reference lists the image itself first, or only the levels: compare the tail.
    expected = recorded.automl()[f"anchors/{name}__feat_sizes"]
    np.testing.assert_array_equal(list(sizes.values()), expected[-len(sizes) :])


def test_the_order_is_level_row_column_octave_aspect():
    size, levels, octaves = (32, 48), (3, 4), 2
    grid = anchor_grid(
        size, levels=levels, scale=4.0, octaves=octaves, aspect_ratios=ASPECTS
    )
    row = 0
    for level in (3, 4):
        stride = 2**level
        for y in range(size[0] // stride):
            for x in range(size[1] // stride):
                for octave in range(octaves):
                    for ratio in ASPECTS:
                        box = grid[row]
                        centre = (box[:2] + box[2:]) / 2
                        height, width = box[2:] - box[:2]
                        side = 4 * stride * 2 ** (octave / octaves)
                        expected = [(y + 0.5) * stride, (x + 0.5) * stride]
                        np.testing.assert_allclose(centre, expected, rtol=1e-5)
                        np.testing.assert_allclose(width / height, ratio, rtol=1e-5)
                        np.testing.assert_allclose(height * width, side**2, rtol=1e-5)
                        row += 1
    assert row == len(grid)


def test_anchors_reach_out_of_the_image():
    grid = make("d0_256")
    assert grid.min() < 0
    assert grid.max() > 256


def test_strides_are_fractions_where_sizes_are_odd():
    # 250 -> 125 -> 63 -> 32 cells: the first centre is half of 250 / 32.
    first = make("d0_250x330_HxW")[0]
    np.testing.assert_allclose((first[0] + first[2]) / 2, 250 / 32 / 2, rtol=1e-6)


def test_a_pair_of_an_aspect_ratio_is_width_and_height():
    (wide,) = anchor_grid(
        (8, 8), levels=(3, 3), scale=4.0, octaves=1, aspect_ratios=((1.4, 0.7),)
    )
    half = np.array([0.7, 1.4]) * 4 * 8 / 2
    np.testing.assert_allclose(wide, [*(4 - half), *(4 + half)], rtol=1e-6)
