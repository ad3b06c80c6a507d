"""EfficientNets with their classifier, against what was published of them."""

import functools

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from style import STYLE

from efdet_jax import config, models, scaling
from efdet_jax.classifier_config import get_classifier_config
from efdet_jax.flops import multiply_adds, num_parameters
from efdet_jax.models.classifier import ClassHead, create
from efdet_jax.models.detector import abstract_variables
from efdet_jax.models.initial import initial_variables

# Parameters for 1000 classes, as timm 1.0.31 and keras.applications 3.15.1 count them.
PARAMETERS = {
    0: 5_288_548,
    1: 7_794_184,
    2: 9_109_994,
    3: 12_233_232,
    4: 19_341_616,
    5: 30_389_784,
    6: 43_040_704,
    7: 66_347_960,
}
# Billions of multiply-adds: EfficientNet (arXiv 1905.11946) Table 2.
MULTIPLY_ADDS = {0: 0.39, 1: 0.70, 2: 1.0, 3: 1.8, 4: 4.2, 5: 9.9, 6: 19.0, 7: 37.0}


def slow_if_large(phis):
    return [p if p < 2 else pytest.param(p, marks=pytest.mark.slow) for p in phis]


def section_of(phi, num_classes=1000):
    section = get_classifier_config("table", phi).model
    section.num_classes = num_classes
    return section


def shapes_of(phi, num_classes=1000):
    return abstract_variables(create(section_of(phi, num_classes)), (64, 64))


@pytest.mark.parametrize("phi", slow_if_large(PARAMETERS))
def test_a_classifier_has_exactly_the_published_parameters(phi):
    assert num_parameters(shapes_of(phi)["params"]) == PARAMETERS[phi]


@pytest.mark.parametrize("phi", slow_if_large(MULTIPLY_ADDS))
def test_multiply_adds_are_the_published_ones_to_their_digits(phi):
    model, side = create(section_of(phi)), scaling.CLASSIFIERS[phi].image_size
    image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    forward = functools.partial(model.apply, train=False)
    counted = multiply_adds(forward, shapes_of(phi), image) / 1e9
    assert counted == pytest.approx(MULTIPLY_ADDS[phi], rel=0.05)


def test_a_detector_of_the_same_phi_has_the_same_backbone():
    section = config.get_config("table", 0).model
    section.num_classes = 3
    detector = abstract_variables(models.create(section), (128, 128))
    classifier = shapes_of(0)
    for collection in ("params", "batch_stats"):
        assert classifier[collection]["backbone"] == detector[collection]["backbone"]


@pytest.mark.parametrize("size", [(64, 96), (33, 65)])
def test_logits_are_one_number_per_image_and_class_at_any_size(size):
    model = create(section_of(0, num_classes=7))
    image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    init = functools.partial(model.init_with_output, train=False)
    logits, _ = jax.eval_shape(init, jax.random.key(0), image)
    assert logits.shape == (2, 7)


FEATURE = jnp.asarray(
    np.random.default_rng(0).normal(size=(3, 4, 5, 8)).astype(np.float32)
)


def head(dropout):
    module = ClassHead(num_classes=6, filters=16, dropout=dropout, style=STYLE)
    shapes = jax.eval_shape(
        functools.partial(module.init, train=False), jax.random.key(0), FEATURE
    )
    values = initial_variables(
        {name: {"head": tree} for name, tree in shapes.items()},
        seed=0,
        foreground_prior=None,
    )
    return module, {
        name: jax.tree.map(jnp.asarray, tree["head"]) for name, tree in values.items()
    }


def logits_in_training(dropout, seed):
    module, variables = head(dropout)
    rngs = {"dropout": jax.random.key(seed)}
    logits, _ = module.apply(
        variables, FEATURE, train=True, mutable=["batch_stats"], rngs=rngs
    )
    return np.asarray(logits)


def test_dropout_acts_in_training_and_by_its_key():
    first = logits_in_training(0.5, seed=0)
    np.testing.assert_array_equal(first, logits_in_training(0.5, seed=0))
    assert (first != logits_in_training(0.5, seed=1)).any()
    np.testing.assert_array_equal(
        logits_in_training(0.0, seed=0), logits_in_training(0.0, seed=1)
    )


def test_the_head_is_a_convolution_a_mean_and_a_layer():
    module, variables = head(dropout=0.5)
    params = jax.tree.map(np.asarray, variables["params"])
    x = np.asarray(FEATURE) @ params["conv"]["kernel"]
    x = x / np.sqrt(1 + 1e-3)  # statistics before the first step: 0 and 1
    means = (x / (1 + np.exp(-x))).mean(axis=(1, 2))
    expected = means @ params["predict"]["kernel"] + params["predict"]["bias"]
    found = module.apply(variables, FEATURE, train=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scaled", "ratio"),
    [({"depth": 2.0}, 2), ({"width": 2.0}, 4), ({"side": 448}, 4)],
)
def test_cost_grows_with_depth_and_with_the_squares_of_width_and_side(scaled, ratio):
    # EfficientNet section 3.3, "roughly": stem and head are not repeated.
    section, side = section_of(0), scaled.get("side", 224)
    for name in ("depth", "width"):
        section.backbone[name] = scaled.get(name, 1.0)
    image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    model = create(section)
    variables = abstract_variables(model, (64, 64))
    counted = multiply_adds(
        functools.partial(model.apply, train=False), variables, image
    )
    assert counted / 385_814_752 == pytest.approx(ratio, rel=0.15)
