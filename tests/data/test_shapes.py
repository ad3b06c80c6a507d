"""The drawn data set: boxes agree with pixels, and difficulty is a parameter."""

import concurrent.futures
import pickle

import numpy as np
import pytest

from efdet_jax.data import drawing, scenes, shapes
from efdet_jax.data.figures import polygon_area
from efdet_jax.errors import UsageError

HARD = {
    "num_classes": 32,
    "min_objects": 0,
    "max_objects": 20,
    "min_size": 0.03,
    "max_size": 0.8,
    "clutter": 1.0,
    "overlap": 0.4,
}


def make(**changes):
    settings = {
        "split": "train",
        "seed": 3,
        "num_images": 40,
        "image_size": (96, 128),
        "num_classes": 8,
        "imbalance": 1.0,
        "min_objects": 1,
        "max_objects": 4,
        "min_size": 0.2,
        "max_size": 0.6,
        "clutter": 0.0,
        "overlap": 0.0,
    }
    return shapes.Shapes(**(settings | changes))


def drawn_mask(figure, *, size, scale):
    """Pixels that change when a figure is painted white on black."""
    canvas = np.zeros((*size, 3), np.uint8)
    white = figure._replace(colours=np.full((2, 3), 255.0), texture="solid")
    drawing.paint(canvas, white, scale=scale)
    return canvas[:, :, 0] / 255


@pytest.mark.parametrize("settings", [{}, HARD])
def test_boxes_and_areas_are_those_of_the_drawn_pixels(settings):
    source = make(**settings)
    height, width = 96, 128
    for i in range(len(source)):
        annotations = source.annotations(i)
        assert (annotations.height, annotations.width) == (height, width)
        figures = source._scene(i).objects
        assert len(figures) == len(annotations.boxes)
        for figure, box, area in zip(
            figures, annotations.boxes, annotations.area, strict=True
        ):
            mask = drawn_mask(figure, size=(height, width), scale=min(height, width))
            rows = np.flatnonzero(mask.max(axis=1) > 0)
            columns = np.flatnonzero(mask.max(axis=0) > 0)
            drawn = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
            assert (box[:2] - drawn[:2] > -0.3).all()
            assert (drawn[2:] - box[2:] > -0.3).all()
            assert np.abs(box - drawn).max() < 1.3
            assert (box >= 0).all()
            assert (box[2:] <= (height, width)).all()
            perimeter = 8 * (box[2:] - box[:2]).max()
            assert abs(mask.sum() - area) < 0.15 * perimeter


def test_a_figure_shows_where_its_box_says():
    source = make(num_images=20, max_objects=1)
    for i in range(20):
        image = source.image(i).astype(int)
        y0, x0, y1, x1 = source.annotations(i).boxes[0].astype(int)
        around = np.ones(image.shape[:2], bool)
        around[max(y0 - 1, 0) : y1 + 2, max(x0 - 1, 0) : x1 + 2] = False
        ground = np.median(image[around], axis=0)
        differs = np.abs(image - ground).sum(axis=2) > 130
        assert differs[y0:y1, x0:x1].mean() > 0.2
        assert differs[around].mean() < 0.02


def test_the_same_scene_at_twice_the_size_has_twice_the_boxes():
    small = make(**HARD)
    large = make(**HARD, image_size=(192, 256))
    for i in range(10):
        one, two = small.annotations(i), large.annotations(i)
        np.testing.assert_allclose(2 * one.boxes, two.boxes, atol=1e-3)
        np.testing.assert_allclose(4 * one.area, two.area, rtol=1e-3, atol=1e-2)
        np.testing.assert_array_equal(one.classes, two.classes)
    shrunk = large.image(0).reshape(96, 2, 128, 2, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - small.image(0)).mean() < 20


def test_order_thread_and_pickling_change_no_image():
    source = make(**HARD)
    images = [source.image(i) for i in range(12)]
    again = pickle.loads(pickle.dumps(source))
    scenes.lay_out.cache_clear()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        others = list(pool.map(again.image, reversed(range(12))))
    for image, other in zip(images, reversed(others), strict=True):
        np.testing.assert_array_equal(image, other)


def test_train_and_val_and_seeds_share_no_scene():
    boxes = [
        make(**changes).annotations(i).boxes[:1].tolist()
        for changes in ({}, {"split": "val"}, {"seed": 4})
        for i in range(40)
    ]
    assert len({str(box) for box in boxes}) == len(boxes)


def test_settings_bound_what_is_drawn():
    source = make(min_objects=2, min_size=0.2, max_size=0.3)
    seen = set()
    for i in range(len(source)):
        annotations = source.annotations(i)
        assert 2 <= len(annotations.boxes) <= 4
        sides = (annotations.boxes[:, 2:] - annotations.boxes[:, :2]).max(axis=1)
        assert (sides >= 0.2 * 96 - 1e-3).all()
        assert (sides <= 0.3 * 96 + 1e-3).all()
        assert not annotations.is_crowd.any()
        seen |= set(annotations.classes.tolist())
    assert seen == set(range(8))
    assert source.labels.names[:2] == ("solid disc", "solid triangle")
    assert source.labels.ids == tuple(range(1, 9))


def class_counts(source):
    found = [source.annotations(i).classes for i in range(len(source))]
    return np.bincount(np.concatenate(found), minlength=source.labels.num_classes)


def test_an_imbalance_of_50_is_that_of_the_first_class_to_the_last():
    settings = {"num_images": 150, "num_classes": 5, "min_objects": 4, "max_size": 0.3}
    counts = class_counts(make(**settings, imbalance=50.0))
    # Exponential decay: each class is 50^(1/4) times as frequent as the next.
    share = 50.0 ** -np.array([0, 0.25, 0.5, 0.75, 1])
    share /= share.sum()
    deviation = np.sqrt(counts.sum() * share * (1 - share))
    assert (np.abs(counts - counts.sum() * share) < 4 * deviation).all()


def test_validation_is_balanced_whatever_the_imbalance():
    settings = {"split": "val", "num_classes": 4}
    skewed, even = make(**settings, imbalance=50.0), make(**settings)
    for i in range(len(even)):
        np.testing.assert_array_equal(
            skewed.annotations(i).classes, even.annotations(i).classes
        )
    np.testing.assert_array_equal(skewed.image(3), even.image(3))


def test_without_imbalance_the_scenes_are_those_that_there_have_always_been():
    # Recorded before there was such a setting.
    found = [make().annotations(i) for i in range(4)]
    classes = [annotations.classes.tolist() for annotations in found]
    assert classes == [[3, 7, 1], [2, 6], [5, 0], [2, 2]]
    np.testing.assert_allclose(
        found[0].boxes[0], [11.068, 82.1145, 50.9477, 121.9942], rtol=1e-5
    )


def test_without_overlap_objects_are_whole_and_apart():
    source = make(min_objects=4)
    for i in range(len(source)):
        boxes = source.annotations(i).boxes
        for row, box in enumerate(boxes):
            assert (scenes._iou(box, np.delete(boxes, row, axis=0)) < 1e-6).all()


def test_every_object_of_a_crowded_scene_can_be_seen():
    source = make(**HARD | {"min_objects": 20, "overlap": 1.0})
    for i in range(10):
        figures = source._scene(i).objects
        masks = [drawn_mask(f, size=(384, 512), scale=384) for f in figures]
        hidden = np.zeros((384, 512))
        for figure, mask in reversed(list(zip(figures, masks, strict=True))):
            whole = polygon_area(figure.contours[0])
            whole -= sum(map(polygon_area, figure.contours[1:]))
            whole *= (figure.radius * 384) ** 2
            assert (mask * (1 - hidden)).sum() > 0.3 * whole
            hidden = np.maximum(hidden, mask)


def test_an_image_may_be_empty():
    source = make(min_objects=0, max_objects=0)
    annotations = source.annotations(0)
    assert annotations.boxes.shape == (0, 4)
    assert annotations.area.shape == (0,)
    assert source.image(0).shape == (96, 128, 3)


def test_an_index_beyond_the_end_is_an_error():
    with pytest.raises(IndexError):
        make().image(40)


@pytest.mark.parametrize(
    "changes",
    [
        {"split": "test"},
        {"num_classes": 33},
        {"imbalance": 0.5},
        {"min_objects": 5},
        {"min_size": 0.7},
        {"clutter": 1.5},
        {"overlap": -0.1},
        {"seed": -1},
    ],
)
def test_a_value_out_of_range_is_named_in_one_line(changes):
    name = next(iter(changes))
    with pytest.raises(UsageError, match=name) as error:
        make(**changes)
    assert "\n" not in str(error.value)
