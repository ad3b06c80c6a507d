"""Mosaic and mixup: the objects of all images, where their pixels are."""

import numpy as np
import pytest
from oracles import rectangles

from efdet_jax.data.augment import mixing
from efdet_jax.data.augment.geometry import Frame

SIZE = (48, 64)
GROUNDS = (1, 2, 3, 4)


def frame(**changes):
    settings = {
        "output_size": SIZE,
        "resize": "letterbox",
        "factors": (1.0, 1.0),
        "pad_colour": (9.0, 9.0, 9.0),
        "min_visible": 0.0,
    }
    return Frame(**(settings | changes))


def four(size=SIZE):
    """One rectangle in each image, of its own level, class and ground."""
    boxes = [[10, 12, 30, 40], [5, 30, 25, 50], [20, 8, 44, 30], [14, 20, 34, 52]]
    examples = []
    for row, (box, ground) in enumerate(zip(boxes, GROUNDS, strict=True)):
        padded = [[0, 0, 0, 0]] * row + [box]  # the level follows from the row
        example = rectangles.drawn(padded, size, ground=ground)
        examples.append(
            example._replace(
                boxes=example.boxes[row:],
                classes=example.classes[row:],
                visible=example.visible[row:],
            )
        )
    return examples


def mosaics(count, examples, **changes):
    for seed in range(count):
        rng = np.random.default_rng(seed)
        yield mixing.mosaic(examples, rng, frame=frame(**changes))


def owner(image):
    """Says for every pixel whose tile it is in, -1 for padding."""
    grey = image[..., 0].astype(int)
    tiles = np.full(grey.shape, -1)
    for row, ground in enumerate(GROUNDS):
        tiles[(grey == ground) | (grey == rectangles.level(row))] = row
    return tiles


def test_four_tiles_meet_in_a_point_of_the_middle():
    points = []
    for result in mosaics(60, four()):
        tiles = owner(result.image)
        y, x = rectangles.extent(tiles == 0)[2:]
        expected = np.empty(SIZE, int)
        expected[:y, :x], expected[:y, x:] = 0, 1
        expected[y:, :x], expected[y:, x:] = 2, 3
        np.testing.assert_array_equal(tiles, expected)
        points.append((y, x))
    lowest, highest = np.min(points, axis=0), np.max(points, axis=0)
    assert (lowest >= [12, 16]).all()
    assert (highest <= [36, 48]).all()
    assert (highest - lowest > [20, 27]).all()


@pytest.mark.parametrize("min_visible", [0.0, 0.413, 1.0])
def test_boxes_of_a_mosaic_are_where_their_pixels_are(min_visible):
    """Unscaled, so that pixels can be counted: sizes are those of the images alone."""
    examples = four()
    kept = 0
    for result in mosaics(60, examples, min_visible=min_visible):
        rectangles.assert_boxes_are_where_the_pixels_are(result)
        shares = np.array(
            [
                rectangles.count(result.image, row)
                / rectangles.count(examples[row].image, row)
                for row in range(4)
            ]
        )
        expected = np.flatnonzero((shares > 0) & (shares >= min_visible))
        assert result.classes.tolist() == expected.tolist()
        np.testing.assert_allclose(result.visible, shares[expected], rtol=1e-5)
        kept += len(expected)
    assert 0 < kept < 240


@pytest.mark.parametrize("size", [(30, 70), (90, 50)])
def test_boxes_of_scaled_tiles_are_where_their_pixels_are(size):
    """Grounds are black: blurred edges are told from the object by half its level."""
    for row in range(4):
        examples = [rectangles.drawn([], size, ground=0) for _ in range(4)]
        examples[row] = rectangles.drawn([[8, 10, 26, 40]], size, ground=0)
        for result in mosaics(
            12, examples, factors=(0.2, 2.0), pad_colour=(0.0, 0.0, 0.0)
        ):
            found = result.image[..., 0] > rectangles.level(0) / 2
            if len(result.boxes):
                extent = rectangles.extent(found)
                np.testing.assert_allclose(result.boxes[0], extent, atol=1.01)
            else:
                assert not found.any()


def test_a_tile_larger_than_its_image_is_padded():
    flat = [rectangles.drawn([], SIZE, ground=ground) for ground in GROUNDS]
    for result in mosaics(20, flat, factors=(0.1, 0.1)):
        tiles = owner(result.image)
        assert (result.image[tiles == -1] == 9).all()
        assert (tiles == -1).mean() > 0.9


def test_a_mosaic_changes_none_of_its_images():
    examples = four()
    before = [example.image.copy() for example in examples]
    list(mosaics(3, examples))
    for example, image in zip(examples, before, strict=True):
        np.testing.assert_array_equal(example.image, image)


def test_mixup_adds_two_images_and_keeps_the_objects_of_both():
    first = rectangles.drawn([[4, 6, 20, 14], [25, 40, 37, 58]], SIZE)
    second = rectangles.drawn([[10, 10, 30, 50]], SIZE, ground=210)
    rng, again = np.random.default_rng(5), np.random.default_rng(5)
    mixed = mixing.mixup(first, second, rng, beta=2.0)
    share = again.beta(2.0, 2.0)
    expected = share * first.image + (1 - share) * second.image
    np.testing.assert_allclose(mixed.image, expected, atol=0.51)
    np.testing.assert_array_equal(
        mixed.boxes, np.concatenate([first.boxes, second.boxes])
    )
    assert mixed.classes.tolist() == [0, 1, 0]


def test_a_large_beta_lets_both_images_be_seen():
    black = rectangles.drawn([], SIZE, ground=0)
    white = rectangles.drawn([], SIZE, ground=255)
    shares = [
        mixing.mixup(white, black, np.random.default_rng(seed), beta=32.0).image.mean()
        / 255
        for seed in range(300)
    ]
    # Beta(32, 32) has a standard deviation of 1 / (2 * sqrt(65)).
    assert np.mean(shares) == pytest.approx(0.5, abs=0.01)
    assert np.std(shares) == pytest.approx(0.062, abs=0.008)
