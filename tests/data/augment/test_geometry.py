"""Flip, crop and scale jitter: boxes go where their pixels go, or go."""

import numpy as np
import pytest
from oracles import rectangles

from efdet_jax.data import transforms
from efdet_jax.data.augment import geometry

# Apart from each other, so that no rectangle hides another.
BOXES = [[4, 6, 20, 14], [25, 40, 37, 58], [2, 30, 9, 44]]
SIZE = (40, 60)


def frame(**changes):
    settings = {
        "output_size": SIZE,
        "resize": "letterbox",
        "factors": (1.0, 1.0),
        "pad_colour": (0.0, 0.0, 0.0),
        "min_visible": 0.0,
    }
    return geometry.Frame(**(settings | changes))


def rngs(count):
    return [np.random.default_rng(seed) for seed in range(count)]


def crop(example, rng, *, side=(0.3, 0.9), min_visible=0.0):
    return geometry.random_crop(example, rng, side=side, min_visible=min_visible)


def test_flip_mirrors_boxes_with_their_pixels():
    example = rectangles.drawn(BOXES, SIZE)
    flipped = geometry.flip(example, np.random.default_rng(0), probability=1.0)
    np.testing.assert_array_equal(
        flipped.boxes, [[4, 46, 20, 54], [25, 2, 37, 20], [2, 16, 9, 30]]
    )
    rectangles.assert_boxes_are_where_the_pixels_are(flipped)


def test_flip_happens_as_often_as_it_should_and_draws_one_number_each_time():
    example = rectangles.drawn(BOXES, SIZE)
    for probability in (0.0, 0.25, 1.0):
        rng, counted = np.random.default_rng(0), np.random.default_rng(0)
        flips = 0
        for _ in range(400):
            result = geometry.flip(example, rng, probability=probability)
            flips += result is not example
            counted.random()
        assert flips / 400 == pytest.approx(probability, abs=0.05)
        assert rng.random() == counted.random()


def test_crop_shows_a_window_with_the_boxes_where_the_pixels_are():
    example = rectangles.drawn(BOXES, SIZE)
    for rng in rngs(200):
        cropped = crop(example, rng)
        height, width = cropped.image.shape[:2]
        assert 12 <= height <= 36
        assert 18 <= width <= 54
        rectangles.assert_boxes_are_where_the_pixels_are(cropped)


def test_crop_reaches_every_corner_and_the_whole_image():
    example = rectangles.drawn([], SIZE)
    y, x = np.mgrid[:40, :60]
    example = example._replace(image=np.stack([y, x, x], -1).astype(np.uint8))
    windows = [crop(example, rng).image for rng in rngs(300)]
    starts = np.array([window[0, 0, :2] for window in windows])
    stops = np.array([window[-1, -1, :2] for window in windows])
    np.testing.assert_array_equal(starts.min(axis=0), [0, 0])
    np.testing.assert_array_equal(stops.max(axis=0), [39, 59])
    whole = crop(example, np.random.default_rng(0), side=(1.0, 1.0))
    np.testing.assert_array_equal(whole.image, example.image)


@pytest.mark.parametrize("min_visible", [0.0, 0.297, 0.813, 1.0])
def test_what_is_dropped_is_what_too_few_pixels_show(min_visible):
    """Two crops, one after the other; pixels are counted against the first image."""
    example = rectangles.drawn(BOXES, SIZE)
    dropped = 0
    for rng in rngs(200):
        cropped = example
        expected = [0, 1, 2]
        for _ in range(2):
            cropped = crop(cropped, rng, min_visible=min_visible)
            shares = [
                rectangles.count(cropped.image, row)
                / rectangles.count(example.image, row)
                for row in range(3)
            ]
            expected = [
                row
                for row in expected
                if shares[row] > 0 and shares[row] >= min_visible
            ]
            assert cropped.classes.tolist() == expected
            np.testing.assert_allclose(
                cropped.visible, np.array(shares)[expected], rtol=1e-5
            )
        dropped += 3 - len(expected)
    assert 0 < dropped < 600


def test_scale_jitter_puts_a_box_where_it_is_computed_to_be():
    example = rectangles.drawn(BOXES, SIZE)
    half = geometry.scale_jitter(
        example, np.random.default_rng(0), frame=frame(factors=(0.5, 0.5))
    )
    np.testing.assert_array_equal(half.boxes, np.array(BOXES) / 2)
    np.testing.assert_array_equal(half.scale, [2, 2])
    assert (half.image[2:10, 3:7] == rectangles.level(0)).all()
    assert not half.image[20:].any()
    assert not half.image[:, 30:].any()


@pytest.mark.parametrize("factors", [(0.8, 1.25), (0.1, 2.0)])
@pytest.mark.parametrize("resize", transforms.RESIZES)
def test_scale_jitter_moves_boxes_with_their_pixels(factors, resize):
    example = rectangles.drawn([[10, 12, 50, 44]], (80, 60))
    sizes = []
    for rng in rngs(100):
        jittered = geometry.scale_jitter(
            example,
            rng,
            frame=frame(factors=factors, resize=resize, output_size=(64, 96)),
        )
        assert jittered.image.shape == (64, 96, 3)
        middle = (rectangles.level(0) + rectangles.GROUND) / 2
        found = jittered.image[..., 0] > middle
        if len(jittered.boxes) == 0:
            assert not found.any()
            continue
        np.testing.assert_allclose(
            jittered.boxes[0], rectangles.extent(found), atol=1.01
        )
        sizes.append(1 / jittered.scale[0])
    # Of what fits; in whole pixels of an image that is 80 high.
    found = np.array(sizes) / (64 / 80)
    assert factors[0] - 1 / 64 <= found.min()
    assert found.max() <= factors[1]
    assert np.ptp(found) > 0.9 * (factors[1] - factors[0])


@pytest.mark.parametrize("colour", [(128.0, 128.0, 128.0), (124.0, 116.0, 104.0)])
def test_what_scale_jitter_leaves_free_has_the_stated_colour(colour):
    example = rectangles.drawn(BOXES, SIZE)
    jittered = geometry.scale_jitter(
        example,
        np.random.default_rng(0),
        frame=frame(factors=(0.5, 0.5), pad_colour=colour),
    )
    assert (jittered.image[20:] == colour).all()
    assert (jittered.image[:, 30:] == colour).all()


def test_a_whole_box_is_kept_however_much_must_be_visible():
    example = rectangles.drawn(BOXES, (41, 59))
    for rng in rngs(100):
        jittered = geometry.scale_jitter(
            example, rng, frame=frame(factors=(0.3, 1.0), min_visible=1.0)
        )
        assert jittered.classes.tolist() == [0, 1, 2]


def test_scale_jitter_drops_what_its_crop_leaves_too_little_of():
    example = rectangles.drawn(BOXES, SIZE)
    kept = [
        geometry.scale_jitter(
            example, rng, frame=frame(factors=(2.0, 2.0), min_visible=0.5)
        )
        for rng in rngs(100)
    ]
    visible = np.concatenate([one.visible for one in kept])
    assert 0.5 - 1e-4 <= visible.min() < 0.7
    assert len(visible) < 300
    for one in kept:
        areas = (one.boxes[:, 2:] - one.boxes[:, :2]).prod(axis=1)
        whole = (np.diff(np.array(BOXES).reshape(3, 2, 2), axis=1)).prod(axis=(1, 2))
        np.testing.assert_allclose(areas / (4 * whole[one.classes]), one.visible, 1e-4)
