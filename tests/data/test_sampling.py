"""Repeats against LVIS's formula by hand; epochs exact, and the same after a stop."""

import itertools
import json
import math

import grain
import numpy as np
import pytest

from efdet_jax.data.sampling import order, repeats

# Class 0 is in 8 of 10 images, class 1 in 4, class 2 in 1, class 3 in none.
COUNTS = np.zeros((10, 4), np.int32)
COUNTS[:8, 0] = 3
COUNTS[4:8, 1] = 1
COUNTS[7, 2] = 2
REPEATS = np.array([0.25, 0.5, 1.0, 1.0, 1.0, 2.25, 3.0, 1.0, 1.0, 1.0])


def stream(seed=3, given=REPEATS):
    return order(len(given), given, seed=seed)


def epochs(count, **changes):
    length = round(changes.get("given", REPEATS).sum())
    images = itertools.islice(iter(stream(**changes).to_iter_dataset()), count * length)
    return np.array(list(images)).reshape(count, length)


def test_oversampling_repeats_images_by_the_formula_of_lvis():
    found = repeats(COUNTS, name="oversampling", threshold=0.5)
    # r(c) = max(1, sqrt(t / f(c))): 1 at 0.8; sqrt(5/4) at 0.4; sqrt(5) at 0.1.
    expected = [1, 1, 1, 1, *[math.sqrt(5 / 4)] * 3, math.sqrt(5), 1, 1]
    np.testing.assert_allclose(found, expected)


def test_undersampling_thins_images_of_frequent_classes_alone():
    found = repeats(COUNTS, name="undersampling", threshold=0.2)
    # sqrt(0.2 / 0.8) without, sqrt(0.2 / 0.4) with class 1; the rare one is kept, and
    # what shows no object too.
    expected = [*[0.5] * 4, *[math.sqrt(0.5)] * 3, 1, 1, 1]
    np.testing.assert_allclose(found, expected)


def test_no_sampling_is_the_stream_that_there_has_always_been():
    assert repeats(COUNTS, name="none", threshold=0.5) is None
    plain = grain.MapDataset.range(10).seed(3).shuffle().repeat()
    found = order(10, None, seed=3)
    assert [found[n] for n in range(50)] == [plain[n] for n in range(50)]


def test_every_epoch_shows_an_image_as_often_as_told_rounded_up_or_down():
    assert REPEATS.sum() == 12
    counts = np.array([np.bincount(epoch, minlength=10) for epoch in epochs(400)])
    assert (counts >= np.floor(REPEATS)).all()
    assert (counts <= np.ceil(REPEATS)).all()
    # 400 draws of yes or no: a standard deviation of 0.025 at most.
    np.testing.assert_allclose(counts.mean(axis=0), REPEATS, atol=0.1)


def test_repeats_whose_sum_is_no_whole_number_are_scaled():
    given = np.array([0.9, 0.9, 0.8])
    counts = np.array([np.bincount(e, minlength=3) for e in epochs(400, given=given)])
    np.testing.assert_allclose(counts.mean(axis=0), given * 3 / 2.6, atol=0.1)


def test_an_epoch_is_never_empty():
    assert len(set(epochs(1, given=np.full(5, 0.3))[0].tolist())) == 2
    images = stream(given=np.array([0.1, 0.1]))
    assert {images[n] for n in range(50)} == {0, 1}


def test_epochs_are_drawn_anew_and_by_the_seed_alone():
    first, second = epochs(2)
    assert first.tolist() != second.tolist()
    np.testing.assert_array_equal(epochs(2), [first, second])
    assert (epochs(2, seed=4) != [first, second]).any()


def test_any_place_of_the_stream_can_be_asked_for_first():
    in_order = [stream()[n] for n in range(100)]
    images = stream()
    places = np.random.default_rng(0).permutation(100).tolist()
    assert [images[n] for n in places] == [in_order[n] for n in places]
    # As hosts do.
    odd = images[1::2]
    assert [odd[n] for n in range(50)] == in_order[1::2]


@pytest.mark.parametrize("taken", [1, 11, 12, 30])
def test_a_restored_stream_goes_on_with_exactly_the_next_image(taken):
    images = iter(stream().to_iter_dataset())
    list(itertools.islice(images, taken))
    state = json.dumps(images.get_state())
    expected = list(itertools.islice(images, 40))
    restored = iter(stream().to_iter_dataset())
    restored.set_state(json.loads(state))
    assert list(itertools.islice(restored, 40)) == expected
