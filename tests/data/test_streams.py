"""Batches: the same on every run, every image counted, exact after a stop."""

import json
import pathlib

import numpy as np
import pytest
from oracles import stream
from tiny_batches import DRAWN_AND_MIXED, ON, Numbered, assert_same, shapes, take, train

from efdet_jax.structures import BACKGROUND, IGNORED


@pytest.mark.parametrize("num_threads", [0, 1, 4])
@pytest.mark.parametrize(("source", "augment"), DRAWN_AND_MIXED)
def test_the_seed_alone_decides_the_batches(source, augment, num_threads):
    one = train(source, augment=augment)
    other = train(source, augment=augment, num_threads=num_threads)
    assert_same(take(one, 6), take(other, 6))


def test_the_default_stream_is_to_the_bit_what_was_recorded():
    recorded = np.load(pathlib.Path(__file__).parents[1] / "goldens" / "stream.npz")
    for number, batch in enumerate(stream.default_batches()):
        # It was recorded when crowds were dropped.
        crowds = batch.classes == IGNORED
        batch = batch._replace(
            boxes=np.where(crowds[..., None], 0, batch.boxes),
            classes=np.where(crowds, BACKGROUND, batch.classes),
        )
        for name, array in batch._asdict().items():
            np.testing.assert_array_equal(array, recorded[f"{number}/{name}"])


def test_another_seed_gives_other_batches():
    orders = [
        np.concatenate([b.image_index for b in take(train(Numbered(20), seed=s), 4)])
        for s in (0, 1)
    ]
    assert (orders[0] != orders[1]).any()


@pytest.mark.parametrize("num_threads", [0, 2])
@pytest.mark.parametrize(("source", "augment"), DRAWN_AND_MIXED)
def test_a_restored_iterator_continues_with_exactly_the_next_batch(
    source, augment, num_threads
):
    batches = train(source, augment=augment, num_threads=num_threads)
    take(batches, 3)
    state = json.dumps(batches.get_state())
    expected = take(batches, 3)
    restored = train(source, augment=augment, num_threads=num_threads)
    restored.set_state(json.loads(state))
    assert_same(expected, take(restored, 3))


def test_every_epoch_shows_each_image_once_in_a_new_order():
    batches = take(train(Numbered(20)), 12)
    epochs = np.concatenate([b.image_index for b in batches]).reshape(3, 20)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(20))
    assert (epochs[0] != epochs[1]).any()
    assert (epochs[1] != epochs[2]).any()


@pytest.mark.parametrize("num_threads", [0, 2])
def test_images_repeat_as_told_and_exactly_so_after_a_stop(num_threads):
    repeats = np.array([0.5] * 6 + [3.0] * 3)  # 12 images an epoch
    settings = {"repeats": repeats, "num_threads": num_threads, "batch_size": 4}
    batches = train(Numbered(9), **settings)
    seen = np.concatenate([b.image_index for b in take(batches, 3)])
    counts = np.bincount(seen, minlength=9)
    assert counts[:6].sum() == 3
    assert counts[6:].tolist() == [3, 3, 3]
    state = json.dumps(batches.get_state())
    expected = take(batches, 6)
    restored = train(Numbered(9), **settings)
    restored.set_state(json.loads(state))
    assert_same(expected, take(restored, 6))


def test_hosts_share_a_stream_with_repeats():
    settings = {"repeats": np.linspace(0.5, 2.5, 24)}
    whole = take(train(shapes(), batch_size=6, **settings), 8)
    parts = [
        take(train(shapes(), batch_size=3, shard=(i, 2), **settings), 8) for i in (0, 1)
    ]
    for batch, first, second in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(batch.image[:3], first.image)
        np.testing.assert_array_equal(batch.image[3:], second.image)


@pytest.mark.parametrize(("source", "augment"), DRAWN_AND_MIXED)
def test_hosts_share_the_batch_that_one_host_would_see(source, augment):
    given = {"source": source, "augment": augment}
    whole = take(train(**given, batch_size=6), 3)
    parts = [take(train(**given, batch_size=3, shard=(i, 2)), 3) for i in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(batch.image[:3], first.image)
        np.testing.assert_array_equal(batch.image[3:], second.image)
        np.testing.assert_array_equal(batch.boxes[3:], second.boxes)


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_the_hosts_together_have_the_batches_of_one(hosts):
    source = stream.Counted()
    alone = take(train(source, augment=ON, batch_size=8), 4)
    shares = [
        take(train(source, augment=ON, batch_size=8 // hosts, shard=(i, hosts)), 4)
        for i in range(hosts)
    ]
    for number, batch in enumerate(alone):
        for name, whole in batch._asdict().items():
            parts = [getattr(share[number], name) for share in shares]
            together = np.concatenate(parts)
            np.testing.assert_array_equal(together, whole)


def test_a_run_may_go_on_with_other_hosts_threads_and_workers():
    source = stream.Counted()
    whole = take(train(source, augment=ON, batch_size=8), 6)
    before = train(source, augment=ON, batch_size=8)
    take(before, 3)
    state = json.loads(json.dumps(before.get_state()))
    for host in range(2):
        after = train(source, augment=ON, batch_size=4, shard=(host, 2), num_threads=0)
        after.set_state(state)
        rows = slice(4 * host, 4 * host + 4)
        for batch, expected in zip(take(after, 3), whole[3:], strict=True):
            np.testing.assert_array_equal(batch.image, expected.image[rows])
            np.testing.assert_array_equal(batch.boxes, expected.boxes[rows])


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 3])
def test_workers_change_nothing(num_workers):
    settings = {"augment": ON, "batch_size": 4}
    source = stream.Counted()
    expected = take(train(source, **settings), 7)
    batches = train(source, num_workers=num_workers, **settings)
    found = take(batches, 4)
    again = train(source, num_workers=num_workers, **settings)
    again.set_state(batches.get_state())
    for batch, other in zip([*found, *take(again, 3)], expected, strict=True):
        for x, y in zip(batch, other, strict=True):
            np.testing.assert_array_equal(x, y)
