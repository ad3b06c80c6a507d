import logging

import jax
import numpy as np
import optax
import pytest
from jax import numpy as jnp

from efdet_jax.errors import Diverged
from efdet_jax.flat import in_vectors, trees
from efdet_jax.guard import Guard, Taken
from efdet_jax.models.classifier import Classifier
from efdet_jax.objectives import Objective
from efdet_jax.structures import LabelledBatch
from efdet_jax.train_step import initial_state, train_step


class Line(Classifier):
    """y = w x with an image for x: a network whose loss can be anything."""

    def apply(self, variables, image, *, train, mutable, rngs):
        del train, mutable, rngs
        statistics = {"mean": jnp.mean(image)}
        weight = variables["params"]["line"]["kernel"]
        return weight * jnp.mean(image), {"batch_stats": statistics}


LINE = Line(
    num_classes=1,
    backbone={},
    dropout=0.0,
    activation="none",
    padding="same",
    frozen={"backbone": False},
    dtype="float32",
    remat="none",
)


def step_on(state, *pixels, loss=lambda y: y, clip=1e9):
    """A step on images of one pixel value each, every one of them a part."""
    optimizer = optax.chain(optax.clip_by_global_norm(clip), optax.trace(0.9))
    batch = LabelledBatch(
        image=jnp.stack([jnp.full((2, 2, 3), pixel, jnp.uint8) for pixel in pixels]),
        classes=jnp.zeros(len(pixels), jnp.int32),
        image_index=jnp.arange(len(pixels), dtype=jnp.int32),
    )
    return train_step(
        state or initial_state(**in_vectors(START), optimizer=optimizer),
        batch,
        model=LINE,
        objective=Objective(
            targets=lambda batch: batch.classes,
            share=lambda y, targets, whole: (loss(y), {"part": loss(y)}),
        ),
        normalisation={"mean": (0.0,) * 3, "stddev": (1.0,) * 3},
        optimizer=optimizer,
        schedule=optax.constant_schedule(0.1),
        l2_weight=0.0,
        ema_decay=0.9,
        seed=0,
        accumulate=len(pixels),
    )


START = {
    "params": {"line": {"kernel": jnp.asarray(2.0)}},
    "batch_stats": {"mean": jnp.asarray(0.0)},
}
LOSSES = {
    "a loss that is nan": lambda y: jnp.log(y - 1e9),
    "a loss that is inf": lambda y: y / 0.0,
    # sqrt has an infinite slope where it is 0.
    "a gradient that is nan": lambda y: jnp.sqrt(y * 0.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_that_is_not_finite_changes_only_the_counters(name):
    state, metrics = step_on(None, 3)
    assert metrics["skipped_steps"] == 0
    assert trees(state).batch_stats == {"mean": 3}
    skipped, metrics = step_on(state, 7, loss=LOSSES[name])
    assert not np.isfinite([metrics["loss"], metrics["gradient_norm"]]).all()
    assert metrics["skipped_steps"] == 1
    assert skipped.step == state.step + 1
    as_before = skipped._replace(step=state.step, skipped=state.skipped)
    jax.tree.map(np.testing.assert_array_equal, as_before, state)
    after, metrics = step_on(skipped, 5)
    assert metrics["skipped_steps"] == 1
    assert trees(after).params != trees(state).params


@pytest.mark.parametrize("name", LOSSES)
def test_a_part_that_is_not_finite_takes_the_whole_step_with_it(name):
    def loss(y):
        return jax.lax.cond(y == 14, LOSSES[name], lambda y: y, y)

    state, metrics = step_on(None, 3, 5, 4, loss=loss)
    assert metrics["skipped_steps"] == 0
    assert metrics["part_not_finite"] == -1
    weight = trees(state).params["line"]["kernel"]
    start = trees(initial_state(**in_vectors(START), optimizer=optax.identity()))
    for pixels, part in (((3, 5, 7), 2), ((7, 3, 5), 0), ((3, 7, 7), 1)):
        skipped, metrics = step_on(None, *pixels, loss=loss)
        assert not np.isfinite([metrics["loss"], metrics["gradient_norm"]]).all()
        assert metrics["part_not_finite"] == part
        assert skipped.skipped == 1
        skipped = trees(skipped)
        assert skipped.params == start.params != {"line": {"kernel": weight}}
        assert skipped.batch_stats == start.batch_stats


def taken(step, skipped, *, loss=1.0, part=1.0, **more):
    metrics = {"loss": loss, "box_loss": part, "skipped_steps": skipped} | more
    batch = LabelledBatch(
        image=np.zeros((3, 2, 2, 3), np.uint8),
        classes=np.zeros(3, np.int32),
        image_index=np.asarray([4, 0, -1], np.int32),
    )
    return Taken(step, batch, {name: jnp.asarray(v) for name, v in metrics.items()})


def test_a_skipped_step_is_told_of_with_its_part_and_images(caplog):
    guard = Guard(most=5, skipped_before=2, parts=1, image_id=lambda i: f"image{i}.jpg")
    with caplog.at_level(logging.WARNING):
        guard.look(taken(7, 2))
        assert not caplog.messages
        guard.look(taken(8, 3, loss=np.nan, part=np.nan))
    (line,) = caplog.messages
    assert line.startswith("box_loss, loss not finite at step 8, images image4.jpg, ")
    assert "image0.jpg" in line
    assert line.endswith("skipped, 3 so far")


def test_of_a_batch_in_parts_the_images_of_the_part_are_named(caplog):
    guard = Guard(most=5, skipped_before=0, parts=3, image_id=lambda i: f"image{i}")
    with caplog.at_level(logging.WARNING):
        guard.look(taken(1, 1, loss=np.nan, part_not_finite=1.0))
        guard.look(taken(2, 2, loss=np.nan, part_not_finite=-1.0))
    first, second = caplog.messages
    assert "at step 1, images image0: " in first
    assert "at step 2, images image4, image0, ...: " in second


def test_only_steps_in_a_row_end_a_run():
    guard = Guard(most=2, skipped_before=0, parts=1, image_id=str)
    counts = [1, 2, 2, 3, 4, 4]
    for step, count in enumerate(counts):
        guard.look(taken(step, count, loss=np.inf))
    guard.look(taken(7, 5, loss=np.inf))
    guard.look(taken(8, 6, loss=np.inf))
    with pytest.raises(Diverged, match=r"3 steps in a row.*loss not finite at step 9"):
        guard.look(taken(9, 7, loss=np.inf))


def test_a_step_that_is_looked_at_twice_counts_once(caplog):
    guard = Guard(most=1, skipped_before=0, parts=1, image_id=str)
    for _ in range(3):
        guard.look(taken(1, 1, loss=np.inf))
    assert len(caplog.messages) == 1
    with pytest.raises(Diverged, match="2 steps in a row"):
        guard.look(taken(2, 2, loss=np.inf))
