import numpy as np
import pytest
from jax import numpy as jnp

from efdet_jax import mesh as meshes
from efdet_jax.accuracy import Prediction, evaluate, rank_of_class
from efdet_jax.data.labels import contiguous
from efdet_jax.predicting import compiled
from efdet_jax.structures import LabelledBatch


def test_the_rank_is_the_place_in_the_sorted_list():
    random = np.random.default_rng(0)
    logits = random.permuted(np.tile(np.arange(9.0), (20, 1)), axis=1)
    classes = random.integers(0, 9, 20)
    expected = [
        sorted(row, reverse=True).index(row[class_])
        for row, class_ in zip(logits.tolist(), classes, strict=True)
    ]
    found = rank_of_class(jnp.asarray(logits, jnp.float32), jnp.asarray(classes))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_who_says_the_same_of_all_classes_ranks_last(value):
    logits = jnp.full((2, 6), value)
    np.testing.assert_array_equal(rank_of_class(logits, jnp.array([0, 5])), [5, 5])


class Images:
    """Thirteen images of seven classes, as far as evaluation asks."""

    labels = contiguous({i: f"class {i}" for i in range(7)})

    def __len__(self):
        return 13


def batches(order):
    """Batches of four with the images in this order; the last is filled up."""
    padded = np.pad(order, (0, -len(order) % 4), constant_values=-1)
    for index in padded.reshape(-1, 4):
        yield LabelledBatch(
            np.zeros((4, 8, 8, 3), np.uint8),
            np.where(index < 0, -1, index % 7).astype(np.int32),
            index.astype(np.int32),
        )


def scored(order):
    """The truth of image i has rank i % 7."""

    def predict(variables, batch):
        del variables
        index = batch.image_index
        return Prediction(index % 7, batch.classes, jnp.ones(4), index)

    mesh = meshes.make_mesh(1)
    step = compiled(predict, mesh)
    return evaluate(step, {}, Images(), batches(np.array(order)), mesh, num_pictures=2)


def test_figures_are_shares_of_images_and_fillers_do_not_count():
    evaluation = scored(range(13))
    # Ranks 0 to 6 and 0 to 5.
    assert evaluation.metrics.pop("latency_ms") > 0
    assert evaluation.metrics == pytest.approx({"top1": 2 / 13, "top5": 10 / 13})
    assert len(evaluation.pictures) == 2


def test_an_image_that_comes_twice_or_never_is_an_error():
    with pytest.raises(RuntimeError, match="exactly once"):
        scored([*range(12), 0])
