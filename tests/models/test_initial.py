import json
import time

import jax
import numpy as np
import pytest
from oracles.trees import flat_arrays

from efdet_jax import config, models
from efdet_jax.models.detector import abstract_variables
from efdet_jax.models.efficientnet import stage_repeats
from efdet_jax.models.initial import initial_variables
from efdet_jax.weights.names import automl
from efdet_jax.weights.names.naming import Layout


@pytest.fixture(scope="module")
def shapes():
    section = config.get_config("table", 0).model
    section.num_classes = 90
    return abstract_variables(models.create(section), (128, 128))


@pytest.fixture(scope="module")
def values(shapes):
    return initial_variables(shapes, seed=0, foreground_prior=0.01)


def test_d0_is_drawn_in_under_a_second(shapes):
    start = time.monotonic()
    initial_variables(shapes, seed=1, foreground_prior=0.01)
    assert time.monotonic() - start < 1


def test_values_have_the_shapes_and_types_asked_for(shapes, values):
    def same(value, shape):
        assert (value.shape, value.dtype) == (shape.shape, shape.dtype)

    jax.tree.map(same, values, shapes)


def test_statistics_are_those_of_the_reference(values, shared):
    path = shared / "reference/automl/default_init_stats_d0.json"
    reference = automl.tidy_variables(json.loads(path.read_text()))
    layout = Layout("efficientnet", stage_repeats(1.0, lite=False), (3, 7))
    checked = 0
    for name, value in flat_arrays(values).items():
        # Fusion weights are several arrays of theirs, all alike.
        recorded = reference[automl.variable_names(name.split("/", 1)[1], layout)[0]]
        # Both are samples: their deviations differ by some 1/sqrt(2n) each.
        tolerance = 5 / np.sqrt(value.size)
        scale = recorded["std"]
        assert abs(value.std() - scale) <= tolerance * scale, name
        assert abs(value.mean() - recorded["mean"]) <= 1e-4 + 2 * tolerance * scale, (
            name
        )
        checked += 1
    assert checked == len(jax.tree.leaves(values))


def test_head_kernels_are_cut_at_two_deviations(values):
    kernel = values["params"]["class_head"]["predict"]["pointwise"]["kernel"]
    deviation = np.sqrt(1 / kernel.shape[0])
    assert np.abs(kernel).max() <= 2 * deviation / 0.879
    assert abs(kernel.std() / deviation - 1) < 0.02


@pytest.mark.parametrize("prior", [0.01, 0.2])
def test_the_class_head_says_the_prior_at_first(shapes, prior):
    drawn = initial_variables(shapes, seed=0, foreground_prior=prior)
    bias = drawn["params"]["class_head"]["predict"]["pointwise"]["bias"]
    np.testing.assert_allclose(1 / (1 + np.exp(-bias)), prior, rtol=1e-5)


def test_a_seed_gives_the_same_values_and_another_seed_others(shapes, values):
    again = initial_variables(shapes, seed=0, foreground_prior=0.01)
    jax.tree.map(np.testing.assert_array_equal, values, again)
    other = initial_variables(shapes, seed=1, foreground_prior=0.01)
    stem = [tree["params"]["backbone"]["stem"]["kernel"] for tree in (values, other)]
    assert (stem[0] != stem[1]).all()


def test_another_layer_changes_no_value_of_the_others(shapes, values):
    fewer = {
        kind: {part: tree for part, tree in parts.items() if part != "backbone"}
        for kind, parts in shapes.items()
    }
    drawn = initial_variables(fewer, seed=0, foreground_prior=0.01)
    jax.tree.map(
        np.testing.assert_array_equal,
        drawn["params"]["neck"],
        values["params"]["neck"],
    )
