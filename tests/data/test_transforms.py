"""Resizing, cropping and flipping, against the recorded reference and by property."""

import numpy as np
import pytest
from oracles import bilinear

from efdet_jax.data import transforms

MEAN = np.array([0.485, 0.456, 0.406]) * 255
STDDEV = np.array([0.229, 0.224, 0.225]) * 255
OUTPUT = (256, 256)
# Name of the recording, random scale, random place of the crop.
LETTERBOXED = [
    ("infer_h300w451", 1.0, (0.0, 0.0)),
    ("infer_h200w120", 1.0, (0.0, 0.0)),
    ("infer_h256w256", 1.0, (0.0, 0.0)),
]
JITTERED = [
    ("train_scale1.7_offy0.3_offx0.6", 1.7, (0.3, 0.6)),
    ("train_scale0.4_offy0.3_offx0.6", 0.4, (0.3, 0.6)),
    ("train_scale1.1_offy0.9_offx0.1", 1.1, (0.9, 0.1)),
]


@pytest.fixture(scope="module")
def reference(shared):
    return np.load(shared / "reference" / "automl" / "preprocess.npz")


def raw_image(reference, case):
    return reference["train_in/raw" if case.startswith("train") else f"{case}/raw"]


def place(size, output=OUTPUT, *, resize="letterbox", scale_factor=1.0, crop=(0, 0)):
    return transforms.place(
        size,
        output_size=output,
        resize=resize,
        scale_factor=scale_factor,
        crop=(float(crop[0]), float(crop[1])),
    )


def place_image(image, placement, output=OUTPUT, *, pad_colour=tuple(MEAN)):
    return transforms.place_image(
        image, placement, output_size=output, pad_colour=pad_colour
    )


def random_boxes(rng, count, size):
    corners = rng.uniform(0, 1, (count, 2, 2)) * size
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(
        np.float32
    )


@pytest.mark.parametrize(("case", "scale_factor", "crop"), LETTERBOXED + JITTERED)
def test_images_are_placed_as_by_the_reference(reference, case, scale_factor, crop):
    raw = raw_image(reference, case)
    placement = place(raw.shape[:2], scale_factor=scale_factor, crop=crop)
    assert placement.scaled_size == tuple(reference[f"{case}/scaled_hw"])
    if case.startswith("train"):
        offset = (reference[f"{case}/offset_y"], reference[f"{case}/offset_x"])
        assert placement.offset == offset
        scale = reference[f"{case}/image_scale"]
    else:
        scale = 1 / reference[f"{case}/image_scale_to_original"]
    np.testing.assert_allclose(placement.scale, [scale, scale], rtol=1e-7)


@pytest.mark.parametrize(("case", "scale_factor", "crop"), LETTERBOXED + JITTERED)
def test_pixels_are_those_of_the_reference(reference, case, scale_factor, crop):
    raw = raw_image(reference, case)
    placement = place(raw.shape[:2], scale_factor=scale_factor, crop=crop)
    recorded = reference[f"{case}/image"]
    expected = recorded * STDDEV + MEAN
    exact = place_image(raw.astype(np.float32), placement)
    assert np.abs(exact - expected).max() <= 1e-5 * 255
    rounded = place_image(raw, placement)
    assert rounded.dtype == np.uint8
    assert np.abs(rounded - expected).max() < 0.8  # levels of 255

    height, width = placement.scaled_size
    assert not recorded[height:].any()
    assert not recorded[:, width:].any()
    for padding in (exact[height:], exact[:, width:]):
        np.testing.assert_allclose(padding, np.broadcast_to(MEAN, padding.shape), 1e-7)


@pytest.mark.parametrize(("case", "scale_factor", "crop"), LETTERBOXED + JITTERED)
def test_what_is_left_is_the_rounding_of_the_reference(
    reference, case, scale_factor, crop
):
    """Its pixels are its formula in float32, to the bit; ours are the formula's."""
    raw = raw_image(reference, case)
    placement = place(raw.shape[:2], scale_factor=scale_factor, crop=crop)
    top, left = placement.offset
    cut = np.s_[top : top + OUTPUT[0], left : left + OUTPUT[1]]
    normalised = (raw.astype(np.float32) - np.float32(MEAN)) / np.float32(STDDEV)
    theirs = bilinear.resize(normalised, placement.scaled_size, np.float32)[cut]
    inside = np.s_[: theirs.shape[0], : theirs.shape[1]]
    np.testing.assert_array_equal(reference[f"{case}/image"][inside], theirs)

    formula = bilinear.resize(raw, placement.scaled_size, np.float64)[cut]
    ours = place_image(raw.astype(np.float32), placement)[inside]
    assert np.abs(ours - formula).max() <= 1e-6 * 255


@pytest.mark.parametrize("size", [(31, 47), (50, 30), (9, 90), (120, 7)])
@pytest.mark.parametrize("resize", transforms.RESIZES)
def test_resizing_is_bilinear_without_antialiasing(size, resize):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    placement = place(size, (64, 48), resize=resize)
    height, width = placement.scaled_size
    formula = bilinear.resize(image, (height, width), np.float64)
    exact = place_image(image.astype(np.float32), placement, (64, 48))
    assert np.abs(exact[:height, :width] - formula).max() <= 1e-6 * 255
    rounded = place_image(image, placement, (64, 48))
    assert np.abs(rounded[:height, :width] - formula).max() < 1


@pytest.mark.parametrize(
    ("size", "output", "scaled"),
    [
        # The product of side and scale is a whole number but for rounding; these are
        # TensorFlow's answers, which the slow test below asks for.
        ((103, 103), 256, (256, 256)),
        ((133, 133), 640, (639, 639)),
        ((100, 427), 512, (119, 511)),
        ((427, 640), 512, (341, 512)),
        ((166, 249), 768, (511, 768)),
    ],
)
def test_sizes_are_truncated_where_the_reference_truncates_them(size, output, scaled):
    assert place(size, (output, output)).scaled_size == scaled


@pytest.mark.slow
def test_sizes_and_pixels_are_those_of_tensorflow():
    import tensorflow as tf

    rng = np.random.default_rng(0)
    for _ in range(300):
        size = tuple(rng.integers(20, 1300, 2).tolist())
        output = int(rng.choice([256, 320, 512, 640, 896]))
        height, width = (tf.cast(side, tf.float32) for side in size)
        scale = tf.minimum(
            tf.cast(output, tf.float32) / height, tf.cast(output, tf.float32) / width
        )
        expected = [int(tf.cast(side * scale, tf.int32)) for side in (height, width)]
        placement = place(size, (output, output))
        assert placement.scaled_size == tuple(expected)
        assert placement.scale == (float(scale), float(scale))
    for size in ((31, 47), (150, 90)):
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        placement = place(size, (64, 64))
        height, width = placement.scaled_size
        expected = tf.image.resize(tf.cast(image, tf.float32), (height, width))
        exact = place_image(image.astype(np.float32), placement, (64, 64))
        assert np.abs(exact[:height, :width] - expected).max() <= 1e-5 * 255


@pytest.mark.parametrize(("case", "scale_factor", "crop"), JITTERED)
def test_boxes_are_those_of_the_reference(reference, case, scale_factor, crop):
    raw = reference["train_in/raw"]
    placement = place(raw.shape[:2], scale_factor=scale_factor, crop=crop)
    boxes = reference["train_in/boxes_norm_yxyx"] * np.tile(raw.shape[:2], 2)
    boxes = transforms.place_boxes(
        boxes.astype(np.float32), placement, output_size=OUTPUT
    )
    clipped_like_the_reference = np.minimum(boxes, 255)
    kept = transforms.has_area(clipped_like_the_reference)
    np.testing.assert_allclose(
        clipped_like_the_reference[kept],
        reference[f"{case}/boxes"],
        atol=1e-5 * 256,
    )
    np.testing.assert_array_equal(
        reference["train_in/classes"].ravel()[kept],
        reference[f"{case}/classes"].ravel(),
    )


@pytest.mark.parametrize("factor", [1.0, 0.37, 1.9])
def test_stretching_fills_the_scaled_input_on_each_axis(factor):
    rng = np.random.default_rng(0)
    for size in rng.integers(1, 2000, (200, 2)).tolist():
        placement = place(
            tuple(size), (320, 256), resize="stretch", scale_factor=factor, crop=(1, 1)
        )
        scaled = (int(320 * np.float32(factor)), int(256 * np.float32(factor)))
        assert placement.scaled_size == scaled
        np.testing.assert_allclose(placement.scale, np.divide(scaled, size))
        assert placement.offset == (max(0, scaled[0] - 320), max(0, scaled[1] - 256))


def test_flipping_twice_changes_nothing():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (37, 53, 3), np.uint8)
    boxes = random_boxes(rng, 6, (37, 53))
    twice = transforms.flip_image(transforms.flip_image(image))
    np.testing.assert_array_equal(twice, image)
    back = transforms.flip_boxes(transforms.flip_boxes(boxes, width=53), width=53)
    np.testing.assert_allclose(back, boxes, atol=1e-5)


def test_a_flipped_box_holds_the_flipped_pixels():
    image = np.zeros((20, 30, 3), np.uint8)
    image[4:9, 5:17] = 255
    box = np.array([[4, 5, 9, 17]], np.float32)
    y0, x0, y1, x1 = transforms.flip_boxes(box, width=30)[0].astype(int)
    flipped = transforms.flip_image(image)
    assert (flipped[y0:y1, x0:x1] == 255).all()
    assert flipped.sum() == image.sum()


@pytest.mark.parametrize("size", [(300, 451), (200, 120), (64, 900), (17, 17)])
@pytest.mark.parametrize("resize", transforms.RESIZES)
def test_placed_boxes_come_back(size, resize):
    boxes = random_boxes(np.random.default_rng(0), 20, size)
    placement = place(size, (128, 192), resize=resize)
    inside = transforms.place_boxes(boxes, placement, output_size=(128, 192))
    assert (inside <= np.tile(placement.scaled_size, 2)).all()
    # A letterboxed size is truncated to whole pixels: one input pixel at most is lost.
    lost = 1.001 if resize == "letterbox" else 1e-4
    scale = np.tile(placement.scale, 2)
    assert (np.abs(inside / scale - boxes) * scale).max() <= lost


@pytest.mark.parametrize("resize", transforms.RESIZES)
def test_boxes_follow_the_pixels_through_scale_and_crop(resize):
    rng = np.random.default_rng(1)
    for _ in range(40):
        image = np.zeros((90, 130, 3), np.uint8)
        image[30:60, 40:100] = 255
        placement = place(
            (90, 130),
            (96, 64),
            resize=resize,
            scale_factor=rng.uniform(0.5, 2.0),
            crop=rng.random(2),
        )
        placed = place_image(image, placement, (96, 64))
        assert placed.shape == (96, 64, 3)
        box = transforms.place_boxes(
            np.array([[30, 40, 60, 100]], np.float32), placement, output_size=(96, 64)
        )
        white = placed.min(axis=2) > 127
        if not transforms.has_area(box)[0]:
            assert not white.any()
            continue
        rows, columns = np.flatnonzero(white.any(axis=1)), np.flatnonzero(white.any(0))
        drawn = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
        assert np.abs(box[0] - drawn).max() <= 1.0


@pytest.mark.parametrize("resize", transforms.RESIZES)
def test_an_image_of_the_right_size_is_not_touched(resize):
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    placement = place((64, 64), (64, 64), resize=resize, crop=(0.7, 0.7))
    assert np.shares_memory(place_image(image, placement, (64, 64)), image)


@pytest.mark.parametrize("mean", [tuple(MEAN), (127.0, 127.0, 127.0)])
@pytest.mark.parametrize(("dtype", "limit"), [(np.uint8, 0.01), (np.float32, 0.0)])
def test_padding_has_the_colour_that_normalises_to_zero(mean, dtype, limit):
    image = np.full((10, 20, 3), 255, dtype)
    placed = place_image(image, place((10, 20), (20, 20)), (20, 20), pad_colour=mean)
    assert placed.dtype == dtype
    assert (placed[:10] == 255).all()
    assert np.abs((placed[10:] - np.float32(mean)) / STDDEV).max() <= limit


@pytest.mark.parametrize("resize", transforms.RESIZES)
def test_a_sliver_of_an_image_keeps_one_pixel(resize):
    size = place((2, 1000), (64, 64), resize=resize, scale_factor=0.001).scaled_size
    assert size == (1, 1)
    assert place((2, 1000), (64, 64), scale_factor=0.1).scaled_size == (1, 6)


def test_no_boxes_stay_no_boxes():
    none = np.zeros((0, 4), np.float32)
    placed = transforms.place_boxes(
        none, place((10, 20), (20, 20)), output_size=(20, 20)
    )
    assert placed.shape == (0, 4)
    assert transforms.flip_boxes(none, width=20).shape == (0, 4)
    assert transforms.has_area(none).shape == (0,)
