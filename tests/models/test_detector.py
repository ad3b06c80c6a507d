import functools

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from oracles.trees import flat_arrays

from efdet_jax import config, models, scaling, validation
from efdet_jax.anchors import anchor_grid
from efdet_jax.flops import num_parameters
from efdet_jax.models.detector import BACKBONES, abstract_variables, normalise
from efdet_jax.models.initial import initial_variables

# By part as effdet counts them, with 90 classes: backbone, neck, class and box head,
# and the numbers that BatchNorm keeps.
PARAMETERS = {
    0: (3_595_388, 196_281, 69_354, 19_044, 47_136),
    1: (6_101_024, 390_972, 101_394, 32_508, 71_456),
    2: (7_202_562, 708_159, 136_890, 49_428, 81_776),
    3: (10_103_336, 1_559_474, 247_050, 122_436, 114_304),
    4: (16_742_216, 3_349_829, 402_890, 228_740, 167_312),
    5: (27_288_112, 5_405_893, 591_498, 367_812, 227_392),
    6: (39_403_992, 10_583_808, 1_090_986, 792_996, 311_984),
    7: (39_403_992, 10_583_808, 1_090_986, 792_996, 311_984),
    "7x": (62_143_440, 13_112_064, 1_094_826, 796_836, 417_728),
}
# In all: google/automl's efficientdet_arch_test.py.
TOTALS = {
    0: 3_880_067,
    1: 6_625_898,
    2: 8_097_039,
    3: 12_032_296,
    4: 20_723_675,
    5: 33_653_315,
    6: 51_871_782,
    7: 51_871_782,
    "7x": 77_147_166,
}


def detector(phi, source="table", reference="automl", **changes):
    """The published detector, with some keys of config.model set otherwise."""
    section = config.get_config(source, phi, reference=reference).model
    section.update_from_flattened_dict({"num_classes": 90} | changes)
    return models.create(section)


def tiny(**changes):
    """A detector that differs from D0 in its numbers only."""
    settings = {
        "backbone.width": 0.25,
        "backbone.depth": 0.3,
        "backbone.survival_prob": 0.9,
        "neck.width": 8,
        "neck.repeats": 1,
        "head.repeats": 1,
        "num_classes": 2,
    }
    return detector(0, **(settings | changes))


def test_every_published_detector_is_in_these_tables():
    assert set(PARAMETERS) == set(TOTALS) == set(scaling.DETECTORS)
    assert set(LITE) == set(scaling.LITE_DETECTORS)
    assert set(BACKBONES) == set(validation.CHOICES["model.backbone.name"])


@pytest.mark.parametrize(
    "phi",
    [
        phi if phi in (0, 1, 2, 3) else pytest.param(phi, marks=pytest.mark.slow)
        for phi in PARAMETERS
    ],
)
def test_parameter_counts_are_the_published_ones(phi):
    model = detector(phi)
    side = 2 ** model.levels[1]
    shapes = abstract_variables(model, (side, side))
    params = shapes["params"]
    parts = [num_parameters(params[name]) for name in ("backbone", "neck")]
    parts += [num_parameters(params[f"{name}_head"]) for name in ("class", "box")]
    statistics = num_parameters(shapes["batch_stats"])
    assert (*parts, statistics) == PARAMETERS[phi]
    assert num_parameters(params) == TOTALS[phi]


# In all, and the numbers that BatchNorm keeps: effdet's tf_efficientdet_lite*.
LITE = {
    0: (3_243_470, 47_136),
    1: (4_248_318, 63_072),
    2: (5_252_334, 72_560),
    3: (8_350_862, 104_192),
    "3x": (9_280_862, 111_712),
    4: (15_130_894, 155_504),
}


@pytest.mark.parametrize("phi", LITE)
def test_parameter_counts_of_lite_are_the_published_ones(phi):
    shapes = abstract_variables(detector(phi, source="lite"), (128, 128))
    counts = (num_parameters(shapes[name]) for name in ("params", "batch_stats"))
    assert tuple(counts) == LITE[phi]


@pytest.mark.parametrize(("phi", "count"), [(0, 3_877_763), (1, 6_622_026)])
def test_without_redundant_biases_parameters_are_effdets(phi, count):
    model = detector(phi, reference="effdet")
    shapes = abstract_variables(model, (128, 128))
    assert num_parameters(shapes["params"]) == count


SIZES = ((128, 128), (130, 197), (256, 384), (129, 255), (200, 1031))


@pytest.mark.parametrize("size", SIZES)
def test_every_anchor_of_any_image_size_gets_a_prediction(size):
    outputs, _ = jax.eval_shape(
        functools.partial(tiny().init_with_output, train=False),
        jax.random.key(0),
        jax.ShapeDtypeStruct((1, *size, 3), jnp.float32),
    )
    anchors = anchor_grid(
        size, levels=(3, 7), scale=4.0, octaves=3, aspect_ratios=(1.0, 2.0, 0.5)
    )
    assert outputs.class_logits.shape == (1, len(anchors), 2)
    assert outputs.box_codes.shape == (1, len(anchors), 4)


def training_of(model, size):
    """A function from variables to gradients and outputs in training; variables."""
    shapes = abstract_variables(model, size)
    variables = initial_variables(shapes, seed=0, foreground_prior=0.01)
    pixels = np.random.default_rng(0).normal(size=(2, *size, 3))
    image = jnp.asarray(pixels, jnp.float32)

    def run(variables):
        def loss(params):
            outputs, _ = model.apply(
                variables | {"params": params},
                image,
                train=True,
                mutable=["batch_stats"],
                rngs={"drop_path": jax.random.key(0)},
            )
            return sum(jnp.mean(x**2) for x in outputs), outputs

        return jax.grad(loss, has_aux=True)(variables["params"])

    return run, variables


def compiled(run, variables):
    """Compiles in half of the time, to slower code."""
    options = {"xla_backend_optimization_level": 0}
    return jax.jit(run).lower(variables).compile(compiler_options=options)(variables)


def test_an_odd_sized_image_trains_every_parameter():
    run, variables = training_of(tiny(levels=(3, 6)), (65, 94))
    gradients, outputs = compiled(run, variables)
    assert all(np.isfinite(leaf).all() for leaf in outputs)
    assert jax.tree.structure(gradients) == jax.tree.structure(variables["params"])
    for path, gradient in flat_arrays(gradients).items():
        assert np.isfinite(gradient).all(), path
        # Nothing of the network hangs loose.
        assert np.abs(gradient).max() > 0, path


def test_bfloat16_is_for_activations_only():
    run, variables = training_of(tiny(dtype="bfloat16"), (128, 128))
    for leaf in jax.tree.leaves(jax.eval_shape(run, variables)):
        assert leaf.dtype == jnp.float32


@pytest.mark.slow
def test_bfloat16_stays_near_float32():
    (_, low), (_, high) = (
        compiled(*training_of(tiny(dtype=dtype), (128, 128)))
        for dtype in ("bfloat16", "float32")
    )
    for rounded, full in zip(low, high, strict=True):
        assert np.abs(rounded - full).max() < 0.1 * np.abs(full).max()


def test_normalised_images_have_imagenets_mean_at_zero():
    image = np.full((1, 2, 2, 3), 255, np.uint8)
    expected = (1 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(
        normalise(image, **config.IMAGENET)[0, 0, 0], expected, rtol=1e-5
    )
