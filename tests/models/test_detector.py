import functools
import json

import h5py
import jax
import numpy as np
import optax
import pytest
from jax import numpy as jnp
from oracles import published, recorded
from oracles.trees import flat_arrays

from efdet_jax import config, models, scaling, validation
from efdet_jax.anchors import anchor_grid
from efdet_jax.flops import num_parameters
from efdet_jax.losses import detection_loss, l2_loss
from efdet_jax.models.detector import BACKBONES, abstract_variables, normalise
from efdet_jax.models.initial import initial_variables
from efdet_jax.structures import BACKGROUND, Targets
from efdet_jax.targets import assign

LEVELS = range(3, 8)

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


def variables_of(array_of):
    """D0's variables, each from `array_of(path, shape)`."""
    shapes = abstract_variables(detector(0), (256, 256))

    def value(path, leaf):
        name = "/".join(key.key for key in path[1:])
        return jnp.asarray(array_of(name, leaf.shape), leaf.dtype)

    return jax.tree_util.tree_map_with_path(value, shapes)


def difference(found, expected):
    """The largest error as a share of the largest value."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.fixture(scope="module")
def automl_variables(shared):
    with h5py.File(shared / "reference/automl/d0_256_weights.h5") as weights:
        return variables_of(functools.partial(published.automl_array, weights))


@pytest.fixture(scope="module")
def parity(automl_variables, shared):
    """Outputs and features of D0 for the recorded weights and input."""
    image = np.load(shared / "reference/automl/d0_256_input.npz")["image"]
    model = detector(0)

    def is_part(module, _):
        return (module.name or "").startswith(("backbone", "block_", "neck", "cell_"))

    @jax.jit
    def run(variables, image):
        outputs, kept = model.apply(
            variables, image, train=False, capture_intermediates=is_part
        )
        return outputs, kept["intermediates"]

    return run(automl_variables, jnp.asarray(image))


def recording(shared, name):
    return np.load(shared / f"reference/automl/{name}.npz")


def test_d0_says_what_the_reference_says(parity, shared):
    outputs, _ = parity
    expected = recording(shared, "d0_256_outputs")
    logits = recorded.flatten_levels(expected, "cls_{}", 90)
    codes = recorded.flatten_levels(expected, "box_{}", 4)
    assert difference(outputs.class_logits, logits) < 1e-4
    assert difference(outputs.box_codes, codes) < 1e-4


def test_every_block_of_d0_is_that_of_the_reference(parity, shared):
    expected = recording(shared, "d0_256_intermediates")
    backbone = parity[1]["backbone"]
    for index in range(16):
        block = backbone[f"block_{index}"]["__call__"][0]
        assert difference(block, expected[f"backbone_block_{index}"]) < 1e-4, index
    (features,) = backbone["__call__"]
    for level in (3, 4, 5):
        assert difference(features[level], expected[f"fpn_in_p{level}"]) < 1e-4


def test_every_cell_of_the_neck_is_that_of_the_reference(parity, shared):
    expected = recording(shared, "d0_256_intermediates")
    for cell in range(3):
        (features,) = parity[1]["neck"][f"cell_{cell}"]["__call__"]
        for index, node in enumerate(published.NODES):
            if node.endswith("_out"):
                found = features[int(node[1])]
                assert difference(found, expected[f"cell{cell}_fnode{index}"]) < 1e-4


@jax.jit
def training(variables, image, targets):
    """D0's loss in training, its gradients, and (its parts, the new statistics)."""

    def loss_fn(params):
        outputs, updated = detector(0).apply(
            variables | {"params": params}, image, train=True, mutable=["batch_stats"]
        )
        settings = config.get_config("table", 0).loss.to_dict()
        parts = detection_loss(outputs, targets, **settings)
        return parts.total, (parts, updated["batch_stats"])

    return jax.value_and_grad(loss_fn, has_aux=True)(variables["params"])


@pytest.mark.slow
def test_a_training_step_has_the_losses_and_gradient_norm_of_the_reference(
    automl_variables, shared
):
    folder = shared / "reference/automl"
    labels = np.load(folder / "loss_inputs_labels.npz")
    targets = Targets(
        jnp.asarray(recorded.flatten_levels(labels, "cls_targets_{}", 1)[..., 0]),
        jnp.asarray(recorded.flatten_levels(labels, "box_targets_{}", 4)),
        jnp.asarray(labels["mean_num_positives"][:, 0]),
    )
    image = jnp.asarray(recording(shared, "d0_256_input")["image"])
    (total, (parts, _)), gradients = training(automl_variables, image, targets)
    l2, l2_gradients = jax.value_and_grad(functools.partial(l2_loss, weight=4e-5))(
        automl_variables["params"]
    )
    norm = optax.tree.norm(jax.tree.map(jnp.add, gradients, l2_gradients))
    expected = json.loads((folder / "trainstep_d0_256.json").read_text())
    for found, name in (
        (total + l2, "loss"),
        (total, "det_loss"),
        (parts.class_, "cls_loss"),
        (l2, "reg_l2_loss"),
    ):
        np.testing.assert_allclose(found, expected[name], rtol=2e-4, err_msg=name)
    # In float64 the norm is 216.840; rounding decides which of two nearly equal cells
    # of a pool gets the gradient, which is worth a thousandth.
    np.testing.assert_allclose(norm, expected["raw_global_norm"], rtol=2e-3)


@pytest.mark.slow
def test_gradients_and_statistics_of_training_are_those_of_the_pytorch_port(shared):
    folder = shared / "reference/effdet"
    stem = "tf_efficientdet_d0_256"
    state = published.read_state_dict(folder / f"{stem}.pth")
    variables = variables_of(
        lambda path, shape: published.from_torch(
            state[published.effdet_name(path)], shape
        )
    )
    inputs, truth = (np.load(folder / f"{stem}_{k}.npz") for k in ("io", "loss"))
    classes = np.where(truth["a_cls"] > 0, truth["a_cls"] - 1, BACKGROUND)
    targets = jax.jit(functools.partial(assign, match_iou=0.5))(
        truth["anchors_yxyx"], truth["a_bbox_yxyx"], classes.astype(np.int32)
    )
    image = normalise(jnp.asarray(inputs["image_u8_nhwc"]), **config.IMAGENET)
    (total, (parts, statistics)), gradients = training(variables, image, targets)
    expected = np.load(folder / f"{stem}_train.npz")
    losses = total, parts.class_
    np.testing.assert_allclose(losses, expected["train_loss"][:2], rtol=1e-4)
    norm = float(optax.tree.norm(gradients))
    np.testing.assert_allclose(norm, expected["train_grad_norm"], rtol=1e-3)
    for path, gradient in flat_arrays(gradients).items():
        name = published.effdet_name(path)
        theirs = published.from_torch(expected[f"train_grad/{name}"], gradient.shape)
        # Where a norm follows, the gradient is zero but for rounding.
        limit = 2e-3 * np.abs(theirs).max() + 1e-5 * norm
        assert np.abs(gradient - theirs).max() <= limit, path
    before = flat_arrays(variables["batch_stats"])
    for path, found in flat_arrays(statistics).items():
        # Both give the batch a share: ours 0.01, theirs 0.1 in the backbone.
        share = 0.1 if path.startswith("backbone") else 0.01
        theirs = expected[f"train_buffers/{published.effdet_name(path)}"]
        batch = (theirs - (1 - share) * before[path]) / share
        ours = (found - 0.99 * before[path]) / 0.01
        scale = max(np.abs(batch).max(), np.abs(before[path]).max())
        assert np.abs(ours - batch).max() <= 1e-3 * scale, path


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
