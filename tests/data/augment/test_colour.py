"""Colour jitter, against the standard library's YIQ one pixel at a time."""

import colorsys
import math

import numpy as np
import pytest

from efdet_jax.data.augment.colour import colour_jitter, colour_matrix
from efdet_jax.data.augment.example import Example

NEUTRAL = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
OFF = dict.fromkeys(NEUTRAL, 0.0)


def example(image):
    return Example(
        image=image,
        boxes=np.array([[1, 2, 5, 6]], np.float32),
        classes=np.array([3]),
        visible=np.ones((1,), np.float32),
        scale=np.ones((2,)),
    )


def random_image(seed=0, low=0, high=256):
    return np.random.default_rng(seed).integers(low, high, (9, 13, 3), np.uint8)


def slow_jitter(image, *, brightness, contrast, saturation, hue):
    """Brightness, contrast, saturation, hue: one after the other, pixel by pixel."""
    pixels = image.reshape(-1, 3) / 255 * brightness
    mean = sum(colorsys.rgb_to_yiq(*pixel)[0] for pixel in pixels) / len(pixels)
    changed = []
    for pixel in mean + contrast * (pixels - mean):
        y, i, q = colorsys.rgb_to_yiq(*pixel)
        length = saturation * math.hypot(i, q)
        angle = math.atan2(q, i) + 2 * math.pi * hue
        colour = (y, length * math.cos(angle), length * math.sin(angle))
        # The library clips its result, so that luma has to be within range.
        changed.append(colorsys.yiq_to_rgb(*colour))
    return 255 * np.reshape(changed, image.shape)


@pytest.mark.parametrize(
    "strengths",
    [
        OFF | {"brightness": 0.4},
        OFF | {"contrast": 0.5},
        OFF | {"saturation": 0.9},
        OFF | {"hue": 0.5},
        {"brightness": 0.3, "contrast": 0.4, "saturation": 0.7, "hue": 0.1},
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_colours_are_those_of_the_slow_formula(strengths, seed):
    image = random_image(seed)
    draws = dict(
        zip(OFF, np.random.default_rng(seed).uniform(-1, 1, size=4), strict=True)
    )
    changed = {name: strengths[name] * draws[name] for name in OFF}
    factors = {name: NEUTRAL[name] + changed[name] for name in OFF}
    result = colour_jitter(example(image), np.random.default_rng(seed), **strengths)
    difference = np.abs(result.image - slow_jitter(image, **factors))
    assert difference.max() <= 1  # level of 255: rounding, and OpenCV's fixed point


def test_without_strength_nothing_changes():
    image = random_image()
    result = colour_jitter(example(image), np.random.default_rng(0), **OFF)
    np.testing.assert_array_equal(result.image, image)


def test_boxes_and_classes_stay():
    before = example(random_image())
    after = colour_jitter(before, np.random.default_rng(0), **(OFF | {"hue": 0.5}))
    for name in ("boxes", "classes", "visible", "scale"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def apply(colours, mean=0.0, **changes):
    matrix = colour_matrix(mean, **(NEUTRAL | changes))
    return colours @ matrix[:, :3].T + matrix[:, 3]


def test_greys_stay_grey_whatever_hue_and_saturation():
    greys = np.arange(0, 256, 15.0)[:, None] * np.ones((1, 3))
    np.testing.assert_allclose(apply(greys, hue=0.3, saturation=1.7), greys, atol=1e-9)


def test_without_saturation_everything_is_grey():
    greys = apply(random_image().reshape(-1, 3), saturation=0.0)
    np.testing.assert_allclose(np.ptp(greys, axis=1), 0, atol=1e-9)


def test_hue_keeps_luma_and_comes_round_after_a_circle():
    colours = random_image().reshape(-1, 3) / 255
    turned = apply(colours, hue=0.2)
    assert np.abs(turned - colours).max() > 0.3
    luma = [0.30, 0.59, 0.11]
    np.testing.assert_allclose(turned @ luma, colours @ luma, atol=1e-9)
    for _ in range(4):
        turned = apply(turned, hue=0.2)
    np.testing.assert_allclose(turned, colours, atol=1e-9)


def test_contrast_keeps_the_mean_luma_and_brightness_scales_it():
    colours = random_image().reshape(-1, 3) / 255
    luma = np.array([0.30, 0.59, 0.11])
    mean = float((colours @ luma).mean())
    flat = apply(colours, mean=mean, contrast=0.0)
    np.testing.assert_allclose(flat, mean, atol=1e-9)
    for contrast in (0.5, 1.5):
        changed = apply(colours, mean=mean, contrast=contrast, brightness=0.8)
        assert (changed @ luma).mean() == pytest.approx(0.8 * mean)


def test_a_strength_does_not_shift_the_draws_of_the_others():
    image = random_image(low=100, high=150)
    one = colour_jitter(
        example(image), np.random.default_rng(1), **(OFF | {"brightness": 0.2})
    )
    rng = np.random.default_rng(1)
    colour_jitter(example(image), rng, **(OFF | {"hue": 0.5}))
    light = np.random.default_rng(1).uniform(-1, 1, size=4)[0]
    np.testing.assert_allclose(one.image, image * (1 + 0.2 * light), atol=1)
    counted = np.random.default_rng(1)
    counted.uniform(-1, 1, size=4)
    assert rng.random() == counted.random()
