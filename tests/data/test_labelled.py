import json

import numpy as np
import pytest

from efdet_jax.data.labelled import eval_batches, train_batches
from efdet_jax.data.labels import contiguous
from efdet_jax.data.whole import whole_image

COUNT = 11


class Images:
    """Image i is all of grey i, and of class i % 3."""

    labels = contiguous({1: "a", 2: "b", 3: "c"})

    def __len__(self):
        return COUNT

    def image(self, i):
        return np.full((20 + i, 30, 3), i, np.uint8)

    def annotations(self, i):
        return whole_image(i, 20 + i, 30, i % 3)


class Ramp(Images):
    """Images that are dark at the left and bright at the right."""

    def image(self, i):
        row = np.linspace(0, 250, 30).astype(np.uint8)
        return np.broadcast_to(row[None, :, None], (20 + i, 30, 3)).copy()


def train(source=None, **changes):
    settings = {
        "image_size": (16, 24),
        "batch_size": 4,
        "crop_area": (0.3, 1.0),
        "crop_aspect": (0.75, 1.33),
        "flip": True,
        "max_broken": 0.0,
        "seed": 0,
        "num_threads": 2,
        "num_workers": 0,
        "shard": (0, 1),
        "patience": 60.0,
    }
    return train_batches(source or Images(), **settings | changes)


def score(**changes):
    settings = {
        "image_size": (16, 16),
        "batch_size": 4,
        "crop_padding": 2,
        "num_threads": 2,
        "num_workers": 0,
        "shard": (0, 1),
        "patience": 60.0,
    }
    return eval_batches(Images(), **settings | changes)


def test_an_epoch_has_every_image_once_with_its_own_class():
    seen = []
    batches = train(batch_size=1)
    for _ in range(COUNT):
        batch = next(batches)
        (index,) = batch.image_index
        assert batch.image.shape == (1, 16, 24, 3)
        assert (batch.image == index).all()
        assert batch.classes.tolist() == [index % 3]
        seen.append(int(index))
    assert sorted(seen) == list(range(COUNT))
    assert seen != sorted(seen)


def test_a_restored_stream_goes_on_with_exactly_the_next_batch():
    batches = train(Ramp())
    for _ in range(3):
        next(batches)
    state = json.loads(json.dumps(batches.get_state()))
    expected = next(batches)
    again = train(Ramp())
    again.set_state(state)
    for a, b in zip(next(again), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_hosts_have_the_images_of_one():
    alone = next(train(Ramp()))
    halves = [next(train(Ramp(), batch_size=2, shard=(i, 2))) for i in range(2)]
    together = np.concatenate([half.image for half in halves])
    np.testing.assert_array_equal(alone.image, together)


@pytest.mark.parametrize("flip", [False, True])
def test_mirrors_come_only_where_asked_for(flip):
    batch = next(train(Ramp(), flip=flip, batch_size=32)).image.astype(int)
    is_mirrored = batch[:, 0, 0, 0] > batch[:, 0, -1, 0]
    assert is_mirrored.any() == flip
    assert not is_mirrored.all()


@pytest.mark.parametrize("hosts", [1, 2])
def test_every_image_is_scored_once_and_fillers_say_so(hosts):
    batches = [
        list(score(batch_size=4 // hosts, shard=(host, hosts))) for host in range(hosts)
    ]
    assert len({len(host) for host in batches}) == 1
    rows = [
        (int(index), int(class_), image)
        for host in batches
        for batch in host
        for image, class_, index in zip(*batch, strict=True)
    ]
    shown = sorted((index, class_) for index, class_, _ in rows if index >= 0)
    assert shown == [(i, i % 3) for i in range(COUNT)]
    for index, class_, image in rows:
        assert (image == max(index, 0)).all()
        assert index >= 0 or class_ == -1
