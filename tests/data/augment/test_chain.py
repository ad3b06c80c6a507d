"""Which options happen, how often, to which images, and what they leave alone."""

import numpy as np
import pytest

from efdet_jax import config as config_lib
from efdet_jax.data.augment.chain import Options, augmented
from efdet_jax.data.augment.geometry import Frame
from efdet_jax.data.labels import LabelMap
from efdet_jax.data.sound import Sound
from efdet_jax.structures import Annotations

OFF = Options(**config_lib.get_config("table", 0).data.augment.to_dict())
COLOUR = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1}
ON = OFF._replace(crop=0.5, colour=COLOUR, mosaic=0.5, mixup=0.5)


class Counting:
    """Twenty images, each with one box; keeps a list of those that were decoded."""

    labels = LabelMap(ids=(1,), names=("a",))

    def __init__(self):
        self.decoded = []

    def __len__(self):
        return 20

    def image(self, i):
        self.decoded.append(i)
        rng = np.random.default_rng(i)
        return rng.integers(0, 256, (30, 40, 3), np.uint8)

    def annotations(self, i):
        return Annotations(
            image_id=i,
            height=30,
            width=40,
            boxes=np.array([[3, 4, 20, 25]], np.float32),
            classes=np.array([i]),
            is_crowd=np.zeros((1,), bool),
            area=np.full((1,), 357.0),
        )


def augment(options, *, seed=0, source=None, index=0):
    return augmented(
        index,
        # As Grain has it.
        np.random.Generator(np.random.Philox(seed)),
        source=Sound(source or Counting(), max_broken=0.0),
        frame=Frame((32, 32), "letterbox", (0.5, 1.5), (0.0, 0.0, 0.0), 0.0),
        flip=True,
        options=options,
    )


def assert_same(one, other):
    for x, y in zip(one, other, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    ("options", "decoded"),
    [
        (OFF, 1),
        (OFF._replace(crop=1.0, colour=COLOUR), 1),
        (OFF._replace(mixup=1.0), 2),
        (OFF._replace(mosaic=1.0), 4),
        (OFF._replace(mosaic=1.0, mixup=1.0), 5),
    ],
)
def test_only_images_that_are_shown_are_decoded(options, decoded):
    source = Counting()
    augment(options, source=source, index=7)
    assert len(source.decoded) == decoded
    assert source.decoded[0] == 7


def test_options_happen_with_their_probabilities():
    source = Counting()
    counts = []
    for seed in range(120):
        before = len(source.decoded)
        augment(OFF._replace(mosaic=0.3, mixup=0.6), seed=seed, source=source)
        counts.append(len(source.decoded) - before)
    shares = [counts.count(n) / 120 for n in (1, 2, 4, 5)]
    np.testing.assert_allclose(shares, [0.28, 0.42, 0.12, 0.18], atol=0.1)


def test_other_images_are_any_of_the_source():
    source = Counting()
    for seed in range(40):
        augment(OFF._replace(mosaic=1.0), seed=seed, source=source, index=0)
    others = np.array(source.decoded).reshape(40, 4)[:, 1:]
    assert set(others.ravel().tolist()) == set(range(20))
    assert len({tuple(row) for row in others.tolist()}) > 35


@pytest.mark.parametrize("seed", range(5))
def test_the_generator_decides_everything(seed):
    assert_same(augment(ON, seed=seed), augment(ON, seed=seed))
    one, other = augment(ON, seed=seed), augment(ON, seed=seed + 100)
    assert (one.image != other.image).any()


def test_an_option_changes_nothing_where_it_does_not_happen():
    for changes in ({"crop": 0.3}, {"mosaic": 0.3}, {"mixup": 0.3}):
        same = 0
        for seed in range(24):
            with_it = augment(OFF._replace(**changes), seed=seed)
            without = augment(OFF, seed=seed)
            same += np.array_equal(with_it.image, without.image)
        assert 0.4 <= same / 24 <= 0.95


def test_an_option_does_not_shift_the_numbers_of_the_others():
    coloured = OFF._replace(colour=COLOUR)
    mixed = OFF._replace(mixup=1.0)
    for seed in range(8):
        plain = augment(OFF, seed=seed)
        np.testing.assert_array_equal(plain.boxes, augment(coloured, seed=seed).boxes)
        both = augment(mixed, seed=seed)
        np.testing.assert_array_equal(plain.boxes, both.boxes[: len(plain.boxes)])
        np.testing.assert_array_equal(
            both.boxes, augment(mixed._replace(colour=COLOUR), seed=seed).boxes
        )


def test_the_images_of_a_mosaic_are_flipped_each_for_itself():
    class Halves(Counting):
        """Dark on the left, bright on the right."""

        def image(self, i):
            image = np.zeros((30, 40, 3), np.uint8)
            image[:, 20:] = 255
            return image

    flips = set()
    for seed in range(24):
        example = augmented(
            0,
            np.random.Generator(np.random.Philox(seed)),
            source=Sound(Halves(), max_broken=0.0),
            frame=Frame((32, 32), "letterbox", (0.5, 0.5), (9.0, 9.0, 9.0), 0.0),
            flip=True,
            options=OFF._replace(mosaic=1.0),
        )
        starts = example.boxes[:, :2]
        if len(starts) == 4:
            sides = [
                int(example.image[int(y) + 1, int(x) + 1, 0] > 127) for y, x in starts
            ]
            flips.add(tuple(sides))
    assert len(flips) > 2
