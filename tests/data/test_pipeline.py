"""What images become on their way into batches, to train on or to score."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from oracles import stream
from tiny_batches import (
    ON,
    Numbered,
    evaluate,
    shapes,
    take,
    train,
)

from efdet_jax.structures import BACKGROUND, IGNORED


def test_a_batch_has_the_promised_shapes_and_types():
    batch = next(train(shapes()))
    assert batch.image.shape == (5, 64, 64, 3)
    assert batch.image.dtype == np.uint8
    assert (batch.boxes.shape, batch.boxes.dtype) == ((5, 4, 4), np.float32)
    assert (batch.classes.shape, batch.classes.dtype) == ((5, 4), np.int32)
    assert batch.image_index.dtype == np.int32
    assert (batch.scale.shape, batch.scale.dtype) == ((5, 2), np.float32)
    padding = batch.classes == BACKGROUND
    assert not batch.boxes[padding].any()
    assert (batch.boxes[~padding][:, 2:] > batch.boxes[~padding][:, :2]).all()


def test_epochs_show_an_image_flipped_and_scaled_anew():
    batches = take(train(shapes(num_images=1, min_objects=1), batch_size=1), 6)
    assert len({b.boxes.tobytes() for b in batches}) == 6


def test_whatever_happens_to_images_boxes_are_within_them_and_have_area():
    for batch in take(train(stream.Counted(), augment=ON, max_boxes=12), 6):
        boxes = batch.boxes[batch.classes != BACKGROUND]
        assert len(boxes) > 0
        assert (boxes >= 0).all()
        assert (boxes <= 64).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_boxes_of_which_too_little_is_visible_are_not_learnt():
    settings = {"jitter": (2.0, 2.0), "max_boxes": 9, "batch_size": 20}
    batches = [
        next(train(stream.Counted(), min_visible=share, **settings))
        for share in (0.0, 0.5, 1.0)
    ]
    counts = [(batch.classes != BACKGROUND).sum() for batch in batches]
    assert counts[0] > counts[1] > counts[2] > 0


def test_a_source_smaller_than_a_batch_is_repeated_within_it():
    batch = next(train(Numbered(3), batch_size=9))
    assert sorted(batch.image_index.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_crowds_and_boxes_without_area_are_not_learnt():
    batch = next(train(Numbered(3), jitter=(1.0, 1.0), max_boxes=9))
    assert ((batch.classes >= 0).sum(axis=1) == 3).all()
    assert (batch.classes[:, 3] == IGNORED).all()
    assert (batch.classes[:, 4:] == BACKGROUND).all()


def test_objects_come_before_crowds_where_there_is_no_room():
    settings = {"jitter": (1.0, 1.0), "flip": False, "batch_size": 1}
    for max_boxes, crowds in ((2, 0), (3, 0), (4, 1)):
        batch = next(train(Numbered(1), max_boxes=max_boxes, **settings))
        assert (batch.classes == IGNORED).sum() == crowds
        assert (batch.classes >= 0).sum() == min(max_boxes, 3)


def test_too_many_boxes_leave_a_random_choice():
    source = Numbered(1, num_boxes=10)
    batches = take(
        train(source, jitter=(1.0, 1.0), flip=False, max_boxes=3, batch_size=1), 30
    )
    choices = {b.boxes.tobytes() for b in batches}
    assert len(choices) > 10
    left_edges = np.unique(np.concatenate([b.boxes[0, :, 1] for b in batches]))
    assert len(left_edges) == 8


def test_without_flip_and_jitter_an_image_of_the_right_size_is_unchanged():
    source = shapes(image_size=(64, 64))
    for batch in take(train(source, flip=False, jitter=(1.0, 1.0)), 3):
        for row, index in enumerate(batch.image_index):
            np.testing.assert_array_equal(batch.image[row], source.image(int(index)))
            annotations = source.annotations(int(index))
            count = len(annotations.boxes)
            np.testing.assert_array_equal(batch.boxes[row, :count], annotations.boxes)
            assert (batch.classes[row, count:] == BACKGROUND).all()
    np.testing.assert_array_equal(batch.scale, np.ones((5, 2)))


def test_flips_move_boxes_with_their_pixels():
    source = shapes(
        num_images=1,
        min_objects=1,
        max_objects=1,
        clutter=0.0,
        image_size=(64, 64),
    )
    batches = take(train(source, jitter=(1.0, 1.0), batch_size=1, max_boxes=1), 8)
    seen = {b.boxes.tobytes(): b for b in batches}
    assert len(seen) == 2
    one, other = seen.values()
    np.testing.assert_array_equal(one.image[0], other.image[0][:, ::-1])
    np.testing.assert_allclose(one.boxes[0, 0, 1], 64 - other.boxes[0, 0, 3])


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("length", [1, 10, 17])
def test_evaluation_sees_each_image_once_on_hosts_in_step(length, count):
    hosts = [evaluate(Numbered(length), shard=(i, count)) for i in range(count)]
    assert len({len(batches) for batches in hosts}) == 1
    assert all(b.image.shape == (5, 64, 64, 3) for b in itertools.chain(*hosts))
    seen = [np.concatenate([b.image_index for b in batches]) for batches in hosts]
    for indices in seen:
        real = indices[indices >= 0]
        assert (np.diff(real) > 0).all()
        assert set(indices[indices < 0].tolist()) <= {-1}
    real = np.concatenate(seen)
    assert sorted(real[real >= 0].tolist()) == list(range(length))


def test_evaluation_rows_beyond_the_end_are_blank():
    batch = evaluate(Numbered(7))[-1]
    np.testing.assert_array_equal(batch.image_index, [5, 6, -1, -1, -1])
    assert not batch.image[2:].any()
    assert (batch.classes[2:] == BACKGROUND).all()
    assert not batch.boxes[2:].any()


@pytest.mark.parametrize(
    ("resize", "scale"),
    [("letterbox", (100 / 64, 100 / 64)), ("stretch", (40 / 64, 100 / 64))],
)
def test_evaluation_scale_maps_boxes_back_to_the_original_image(resize, scale):
    source = Numbered(1, size=(40, 100))
    batch = evaluate(source, resize=resize, batch_size=1, max_boxes=9)[0]
    annotations = source.annotations(0)
    np.testing.assert_allclose(
        batch.boxes[0, :3] * np.tile(batch.scale[0], 2),
        annotations.boxes[2:],
        rtol=1e-5,
    )
    np.testing.assert_array_equal(batch.classes[0, :3], annotations.classes[2:])
    np.testing.assert_allclose(batch.scale[0], scale)


@pytest.mark.parametrize(("resize", "rows"), [("letterbox", 25), ("stretch", 64)])
def test_what_an_image_leaves_free_has_the_padding_colour(resize, rows):
    source = Numbered(200, size=(40, 100))
    given = {"resize": resize, "pad_colour": (1.0, 2.0, 3.0), "batch_size": 200}
    without_jitter = next(train(source, jitter=(1.0, 1.0), **given))
    for batch in (evaluate(source, **given)[0], without_jitter):
        grey = batch.image_index[:, None, None, None]
        assert (batch.image[:, :rows] == grey).all()
        assert (batch.image[:, rows:] == (1, 2, 3)).all()


def test_jitter_scales_both_axes_of_a_stretched_image_alike():
    source = Numbered(1, size=(40, 100))
    batches = take(train(source, resize="stretch", flip=False, batch_size=1), 20)
    scales = np.concatenate([batch.scale for batch in batches])
    np.testing.assert_allclose(scales[:, 1] / scales[:, 0], 100 / 40, rtol=1e-6)
    assert (scales[:, 0] >= 40 / (64 * 1.6)).all()
    assert (scales[:, 0] <= 40 / (64 * 0.5)).all()
    assert len(np.unique(scales[:, 0])) > 10


def test_evaluation_keeps_no_more_boxes_than_there_are_rows():
    batch = evaluate(Numbered(1, num_boxes=50), batch_size=1)[0]
    assert batch.boxes.shape == (1, 4, 4)
    assert (batch.classes >= 0).all()


def test_images_without_objects_are_trained_and_evaluated_on():
    source = shapes(max_objects=0)
    for batch in (next(train(source)), evaluate(source)[0]):
        assert (batch.classes == BACKGROUND).all()
        assert batch.image.any()


def test_a_source_without_images_has_no_batch_to_evaluate():
    assert evaluate(Numbered(0)) == []


def test_importing_the_pipeline_does_not_import_tensorflow():
    command = (
        "import sys, efdet_jax.data.pipeline, efdet_jax.data.shapes;"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
