"""Resizing, cropping and flipping, against the recorded reference and by property."""

import numpy as np
import pytest

from efdet_jax.data import transforms

MEAN = np.array([0.485, 0.456, 0.406]) * 255
STDDEV = np.array([0.229, 0.224, 0.225]) * 255
OUTPUT = (256, 256)


@pytest.fixture(scope="module")
def reference(shared):
    return np.load(shared / "reference" / "automl" / "preprocess.npz")


def denormalised(image, *, painted):
    """Reference pixels as 0..255; its padding is 0 after normalisation."""
    assert not image[painted[0] :].any()
    assert not image[:, painted[1] :].any()
    return image * STDDEV + MEAN


def random_boxes(rng, count, size):
    corners = rng.uniform(0, 1, (count, 2, 2)) * size
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(
        np.float32
    )


@pytest.mark.parametrize("name", ["h300w451", "h200w120", "h256w256"])
def test_letterbox_is_that_of_the_reference(reference, name):
    case = f"infer_{name}"
    raw = reference[f"{case}/raw"]
    placement = transforms.place(
        raw.shape[:2], output_size=OUTPUT, scale_factor=1.0, crop=(0.0, 0.0)
    )
    assert placement.scaled_size == tuple(reference[f"{case}/scaled_hw"])
    assert 1 / placement.scale == pytest.approx(
        float(reference[f"{case}/image_scale_to_original"])
    )
    image = transforms.place_image(raw, placement, output_size=OUTPUT)
    expected = denormalised(reference[f"{case}/image"], painted=placement.scaled_size)
    assert np.abs(image - expected).max() <= 1.0


@pytest.mark.parametrize(
    ("case", "scale_factor", "crop"),
    [
        ("train_scale1.7_offy0.3_offx0.6", 1.7, (0.3, 0.6)),
        ("train_scale0.4_offy0.3_offx0.6", 0.4, (0.3, 0.6)),
        ("train_scale1.1_offy0.9_offx0.1", 1.1, (0.9, 0.1)),
    ],
)
def test_scale_jitter_is_that_of_the_reference(reference, case, scale_factor, crop):
    raw = reference["train_in/raw"]
    placement = transforms.place(
        raw.shape[:2], output_size=OUTPUT, scale_factor=scale_factor, crop=crop
    )
    assert placement.scaled_size == tuple(reference[f"{case}/scaled_hw"])
    assert placement.offset == (
        reference[f"{case}/offset_y"],
        reference[f"{case}/offset_x"],
    )
    assert placement.scale == pytest.approx(float(reference[f"{case}/image_scale"]))
    image = transforms.place_image(raw, placement, output_size=OUTPUT)
    expected = denormalised(reference[f"{case}/image"], painted=placement.scaled_size)
    assert np.abs(image - expected).max() <= 1.0

    boxes = reference["train_in/boxes_norm_yxyx"] * np.tile(raw.shape[:2], 2)
    boxes = transforms.place_boxes(
        boxes.astype(np.float32), placement, output_size=OUTPUT
    )
    clipped_like_the_reference = np.minimum(boxes, 255)
    kept = transforms.has_area(clipped_like_the_reference)
    np.testing.assert_allclose(
        clipped_like_the_reference[kept], reference[f"{case}/boxes"], atol=1e-3
    )
    np.testing.assert_array_equal(
        reference["train_in/classes"].ravel()[kept],
        reference[f"{case}/classes"].ravel(),
    )


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
def test_letterboxed_boxes_come_back(size):
    boxes = random_boxes(np.random.default_rng(0), 20, size)
    placement = transforms.place(
        size, output_size=(128, 192), scale_factor=1.0, crop=(0.0, 0.0)
    )
    inside = transforms.place_boxes(boxes, placement, output_size=(128, 192))
    assert (inside[:, 2:] <= placement.scaled_size).all()
    # The scaled size is truncated to whole pixels: at most one input pixel is lost.
    assert np.abs(inside / placement.scale - boxes).max() <= 1.001 / placement.scale


def test_boxes_follow_the_pixels_through_scale_and_crop():
    rng = np.random.default_rng(1)
    for _ in range(40):
        image = np.zeros((90, 130, 3), np.uint8)
        image[30:60, 40:100] = 255
        placement = transforms.place(
            (90, 130),
            output_size=(96, 64),
            scale_factor=rng.uniform(0.5, 2.0),
            crop=tuple(rng.random(2)),
        )
        placed = transforms.place_image(image, placement, output_size=(96, 64))
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


def test_an_image_of_the_right_size_is_not_touched():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    placement = transforms.place(
        (64, 64), output_size=(64, 64), scale_factor=1.0, crop=(0.7, 0.7)
    )
    placed = transforms.place_image(image, placement, output_size=(64, 64))
    assert np.shares_memory(placed, image)


def test_padding_has_the_colour_that_normalises_to_zero():
    image = np.full((10, 20, 3), 255, np.uint8)
    placement = transforms.place(
        (10, 20), output_size=(20, 20), scale_factor=1.0, crop=(0.0, 0.0)
    )
    placed = transforms.place_image(image, placement, output_size=(20, 20))
    assert (placed[:10] == 255).all()
    assert np.abs((placed[10:] - MEAN) / STDDEV).max() < 0.01


def test_a_sliver_of_an_image_keeps_one_pixel():
    placement = transforms.place(
        (2, 1000), output_size=(64, 64), scale_factor=0.1, crop=(0.0, 0.0)
    )
    assert placement.scaled_size == (1, 6)


def test_no_boxes_stay_no_boxes():
    none = np.zeros((0, 4), np.float32)
    placement = transforms.place(
        (10, 20), output_size=(20, 20), scale_factor=1.0, crop=(0.0, 0.0)
    )
    placed = transforms.place_boxes(none, placement, output_size=(20, 20))
    assert placed.shape == (0, 4)
    assert transforms.flip_boxes(none, width=20).shape == (0, 4)
    assert transforms.has_area(none).shape == (0,)
