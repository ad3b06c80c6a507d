"""From a config and its data to weights of classes and repeats of images."""

import numpy as np
import pytest
import tiny

from efdet_jax import assemble
from efdet_jax.balance import balance


@pytest.fixture
def config():
    config = tiny.get_config()
    config.data.shapes.imbalance = 5.0
    return config


class Unread:
    """Data whose annotations must not be looked at."""


def test_without_a_wish_nothing_is_counted(config):
    assert balance(config, Unread()) == (None, None)


def test_weights_and_repeats_follow_from_the_data(config):
    config.class_weights.name = "inverse_frequency"
    config.data.sampling.name = "oversampling"
    config.data.sampling.threshold = 1.0
    source = assemble.open_data(config, "train")
    found = [source.annotations(i).classes.tolist() for i in range(len(source))]
    weights, repeats = balance(config, source)
    frequent, rare = (sum(classes.count(c) for classes in found) for c in (0, 1))
    assert frequent > 2 * rare
    np.testing.assert_allclose(weights[1] / weights[0], frequent / rare, rtol=1e-6)
    share = [np.mean([c in classes for classes in found]) for c in (0, 1)]
    expected = [max(share[c] ** -0.5 for c in set(classes)) for classes in found]
    np.testing.assert_allclose(repeats, expected)
