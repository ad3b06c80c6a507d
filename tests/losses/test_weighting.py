"""Class weights, worked by hand."""

import numpy as np
import pytest

from efdet_jax.losses import class_weights


def test_inverse_frequencies_average_to_1():
    found = class_weights(np.array([100, 50, 10]), name="inverse_frequency", beta=0.0)
    # 0.01, 0.02 and 0.1 sum to 0.13.
    np.testing.assert_allclose(found, np.array([1, 2, 10]) * 3 / 13, rtol=1e-6)


def test_effective_numbers_are_a_geometric_series():
    # 1 + beta + beta² + … with n terms: 1, 1.5 and 1.75 for beta = 1/2.
    found = class_weights(np.array([1, 2, 3]), name="effective_number", beta=0.5)
    expected = 1 / np.array([1, 1.5, 1.75])
    np.testing.assert_allclose(found, expected / expected.mean(), rtol=1e-6)


def test_effective_numbers_lie_between_no_weighting_and_inverse_frequency():
    counts = np.array([1000, 100, 10])
    inverse = class_weights(counts, name="inverse_frequency", beta=0.0)
    for beta, expected, tolerance in ((0.0, 1.0, 1e-7), (1 - 1e-9, inverse, 1e-5)):
        found = class_weights(counts, name="effective_number", beta=beta)
        np.testing.assert_allclose(found, expected, rtol=tolerance)


@pytest.mark.parametrize("name", ["inverse_frequency", "effective_number"])
def test_a_class_without_objects_weighs_1_and_moves_no_other(name):
    seen = class_weights(np.array([9, 3]), name=name, beta=0.9)
    with_gap = class_weights(np.array([9, 0, 3]), name=name, beta=0.9)
    np.testing.assert_array_equal(with_gap, [seen[0], 1.0, seen[1]])
    none = class_weights(np.array([0, 0]), name=name, beta=0.9)
    np.testing.assert_array_equal(none, [1.0, 1.0])


def test_no_weighting_is_no_weights():
    assert class_weights(np.array([9, 3]), name="none", beta=0.9) is None
