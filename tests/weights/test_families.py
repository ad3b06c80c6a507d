"""Names and shapes of published files, as their own libraries made them, find ours."""

import functools
import gzip
import json
import pathlib

import jax
import numpy as np
import pytest

from efdet_jax import config as config_lib
from efdet_jax import models
from efdet_jax.classifier_config import get_classifier_config
from efdet_jax.models.classifier import create as create_classifier
from efdet_jax.models.detector import abstract_variables
from efdet_jax.models.efficientnet import stage_repeats
from efdet_jax.weights.names import families
from efdet_jax.weights.names.naming import Layout
from efdet_jax.weights.opening import layout_of

RECORDS = pathlib.Path(__file__).parents[1] / "goldens/names.json.gz"

D0, D7X = ("table", 0, "automl"), ("table", "7x", "automl")
LITE0 = ("lite", 0, "automl")
DETECTORS = {
    "automl/d0": ("google/automl", D0),
    "automl/d1": ("google/automl", ("table", 1, "automl")),
    "automl/d4": ("google/automl", ("table", 4, "automl")),
    "automl/d6": ("google/automl", ("table", 6, "automl")),
    "automl/d7x": ("google/automl", D7X),
    "automl_objects/d0": ("google/automl (TF2 objects)", D0),
    "effdet/tf_efficientdet_d0": ("effdet", D0),
    "effdet/tf_efficientdet_d3": ("effdet", ("table", 3, "automl")),
    "effdet/tf_efficientdet_d7x": ("effdet", D7X),
    "effdet/efficientdet_d0": ("effdet", ("table", 0, "effdet")),
    "effdet/tf_efficientdet_lite0": ("effdet", LITE0),
    "effdet/tf_efficientdet_lite3": ("effdet", ("lite", 3, "automl")),
    "effdet/tf_efficientdet_lite4": ("effdet", ("lite", 4, "automl")),
}
BACKBONES = {
    "timm/tf_efficientnet_b0": ("timm EfficientNet", D0),
    "timm/tf_efficientnet_b3": ("timm EfficientNet", ("table", 3, "automl")),
    "timm/efficientnet_b0": ("timm EfficientNet", D0),
    "timm/tf_efficientnet_lite0": ("timm EfficientNet", LITE0),
    "keras/EfficientNetB0": ("keras.applications EfficientNet", D0),
    "keras/EfficientNetB3": ("keras.applications EfficientNet", ("table", 3, "automl")),
}
CLASSIFIER = (
    "conv_head.",
    "bn2.",
    "classifier.",
    "top_",
    "predictions",
    "normalization",
)
"""What backbones' files hold beyond the features."""
FAST = ("d0", "b0", "lite0")


def slow_if_large(names):
    return [
        name
        if name.lower().endswith(FAST)
        else pytest.param(name, marks=pytest.mark.slow)
        for name in names
    ]


@functools.cache
def records():
    return json.loads(gzip.decompress(RECORDS.read_bytes()))


def arrays_of(record):
    """Arrays of the recorded shapes, which take no memory."""
    zero = np.zeros((), np.float32)
    return {name: np.broadcast_to(zero, shape) for name, shape in record.items()}


@functools.cache
def ours(source, phi, reference):
    """{path: shape} and the layout of one of our configs."""
    config = config_lib.get_config(source, phi, reference=reference)
    config.model.num_classes = 90
    variables = abstract_variables(models.create(config.model), (256, 256))
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    shapes = {"/".join(k.key for k in keys[1:]): leaf.shape for keys, leaf in leaves}
    backbone = config.model.backbone
    stages = stage_repeats(backbone.depth, lite=backbone.lite)
    return shapes, Layout(backbone.name, stages, tuple(config.model.levels))


def check_all_found(arrays, family_name, model, rooms, unused=()):
    """Every variable of ours finds its arrays, and none of theirs is left or shared."""
    family = families.recognise(arrays)
    assert family is not None
    assert family.name == family_name
    arrays = family.tidy(arrays)
    shapes, layout = ours(*model)
    used = []
    for path, shape in shapes.items():
        if path.split("/")[0] not in rooms:
            continue
        names = family.names(path, layout)
        assert names, path
        array = family.arrange([arrays[name] for name in names], shape)
        assert array is not None, path
        assert array.shape == shape
        used += names
    left = set(arrays) - set(used)
    assert len(used) == len(set(used))
    assert all(name.startswith(unused) for name in left), left
    assert all(map(family.is_spare, left))
    assert not any(map(family.is_spare, used))


@pytest.mark.parametrize("name", slow_if_large(DETECTORS))
def test_every_variable_of_a_detector_finds_its_array_and_no_array_is_left(name):
    arrays = arrays_of(records()[name])
    check_all_found(arrays, *DETECTORS[name], rooms=families.DETECTOR)


@pytest.mark.parametrize("name", slow_if_large(BACKBONES))
def test_every_variable_of_a_backbone_finds_its_array_and_only_the_classifier_is_left(
    name,
):
    arrays = arrays_of(records()[name])
    check_all_found(arrays, *BACKBONES[name], families.BACKBONE, unused=CLASSIFIER)


@pytest.mark.parametrize("name", slow_if_large(BACKBONES))
def test_every_variable_of_a_classifier_finds_its_array_and_no_weight_is_left(name):
    _, (_, phi, reference) = BACKBONES[name]
    config = get_classifier_config("table", phi, reference=reference)
    config.model.num_classes = 1000
    config.model.backbone.lite = "lite" in name
    variables = abstract_variables(create_classifier(config.model), (64, 64))
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    layout = layout_of(config)
    arrays = arrays_of(records()[name])
    family = families.recognise(arrays)
    arrays = family.tidy(arrays)
    used = []
    for keys, leaf in leaves:
        path = "/".join(key.key for key in keys[1:])
        names = family.names(path, layout)
        array = family.arrange([arrays[theirs] for theirs in names], leaf.shape)
        assert array is not None, path
        used += names
    assert len(used) == len(set(used))
    # Keras keeps the mean and deviation of the pixels there.
    left = set(arrays) - set(used)
    assert all(theirs.startswith("normalization/") for theirs in left), left


def test_automl_names_of_a_lite_detector_are_those_without_gates_and_fusion_weights():
    arrays = {
        name.replace("efficientnet-b0/", "efficientnet-lite0/"): array
        for name, array in arrays_of(records()["automl/d0"]).items()
        if "/se/" not in name and "/WSM" not in name
    }
    check_all_found(arrays, "google/automl", LITE0, rooms=families.DETECTOR)


def test_automl_names_of_a_second_model_in_one_process_are_the_first_ones():
    arrays = {
        name.replace("stem/conv2d/", "stem_1/conv2d_1/").replace(
            "stem/tpu_batch_normalization/", "stem_1/tpu_batch_normalization_1/"
        ): array
        for name, array in arrays_of(records()["automl/d0"]).items()
    }
    assert "efficientnet-b0/stem_1/conv2d_1/kernel" in arrays
    check_all_found(arrays, "google/automl", D0, rooms=families.DETECTOR)


def test_a_moving_average_takes_the_place_of_its_variable_and_slots_are_left_out():
    name = "class_net/class-0/bias"
    plain = arrays_of(records()["automl/d0"])
    average = np.ones(plain[name].shape, np.float32)
    arrays = plain | {
        f"{name}/ExponentialMovingAverage": average,
        f"{name}/Momentum": average,
        "global_step": np.int64(0),
    }
    check_all_found(
        arrays, "google/automl", D0, families.DETECTOR, unused="global_step"
    )
    family = families.recognise(arrays)
    assert family.tidy(arrays)[name] is average


def test_depthwise_kernels_of_a_keras_2_file_are_found():
    arrays = {
        name.replace("_dwconv/kernel", "_dwconv/depthwise_kernel"): array
        for name, array in arrays_of(records()["keras/EfficientNetB0"]).items()
    }
    assert "block1a_dwconv/depthwise_kernel" in arrays
    check_all_found(
        arrays,
        "keras.applications EfficientNet",
        D0,
        families.BACKBONE,
        unused=CLASSIFIER,
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_numbered_layers_of_a_keras_3_weights_file_are_those_named_so(tmp_path):
    import h5py
    import keras

    model = keras.applications.EfficientNetB1(weights=None, classes=7)
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=w.shape) for w in model.weights])
    model.save_weights(tmp_path / "b1.weights.h5")
    named = {weight.path: weight.numpy() for weight in model.weights}
    arrays = {}
    with h5py.File(tmp_path / "b1.weights.h5") as file:
        file.visititems(
            lambda name, item: (
                arrays.update({name: item[()]})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    by_number, by_name = families.recognise(arrays), families.recognise(named)
    shapes, layout = ours("table", 1, "automl")
    paths = [path for path in shapes if path.startswith("backbone/")]
    paths += ["head/conv/kernel", "head/bn/var", "head/predict/kernel"]
    for path in paths:
        (number,) = by_number.names(path, layout)
        (name,) = by_name.names(path, layout)
        np.testing.assert_array_equal(arrays[number], named[name])


def test_our_own_paths_are_recognised_and_nothing_of_them_is_spare():
    shapes, _ = ours(*D0)
    check_all_found(arrays_of(shapes), "efdet_jax", D0, families.DETECTOR)


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("",),
        ("/",),
        ("weight", "bias"),
        ("features.0.0.weight", "classifier.1.weight"),  # torchvision's EfficientNet
        ("fpn_cells", "fpn_cells/cell_0", "../fpn_cells/cell_0/fnode0/x"),
        ("params/backbone/stem/kernel",),
        ("layers/conv2d/vars/0", "layers/dense/vars/0"),
        ("\N{SNOWMAN}", "a\x00b", "{block}", "backbone/block_{block}/"),
    ],
)
def test_names_of_no_family_are_not_recognised(names):
    assert families.recognise(dict.fromkeys(names, np.zeros(()))) is None


def test_a_pyramid_of_another_kind_on_the_same_backbone_is_not_recognised():
    assert families.recognise(arrays_of(records()["effdet/efficientdet_q0"])) is None


def test_no_file_belongs_to_two_families():
    for name, record in records().items():
        told = [family.name for family in families.FAMILIES if family.is_this(record)]
        assert len(told) == (0 if name == "effdet/efficientdet_q0" else 1), name


def test_a_path_that_a_family_has_not_has_no_names():
    layout = Layout("efficientnet", (1, 2, 2, 3, 3, 4, 1), (3, 7))
    ours_alone = {families.OURS, families.OUR_CLASSIFIER}
    for family in set(families.FAMILIES) - ours_alone:
        for path in (
            "backbone/block_0/conv_1/kernel",
            "neck/p7_conv/kernel",
            "",
            "x/y",
        ):
            assert family.names(path, layout) == ()


GUESSES = {
    "automl/d0": "EfficientDet-D0",
    "automl/d1": "EfficientDet-D1",
    "automl/d6": "EfficientDet-D6 or EfficientDet-D7",
    "automl/d7x": "EfficientDet-D7x",
    "automl_objects/d0": "EfficientDet-D0",
    "effdet/efficientdet_d0": "EfficientDet-D0",
    "effdet/tf_efficientdet_d3": "EfficientDet-D3",
    "effdet/tf_efficientdet_lite0": "EfficientDet-Lite0",
    "effdet/tf_efficientdet_lite4": "EfficientDet-Lite4",
    "timm/tf_efficientnet_b3": "EfficientNet-B3",
    "timm/tf_efficientnet_lite0": "EfficientNet-Lite0",
    "keras/EfficientNetB3": "EfficientNet-B3",
}


@pytest.mark.parametrize(("name", "model"), GUESSES.items())
def test_a_file_tells_which_published_model_it_holds(name, model):
    arrays = arrays_of(records()[name])
    family = families.recognise(arrays)
    assert families.guess(family.tidy(arrays), family) == model


def test_no_published_model_is_guessed_from_sizes_of_none():
    arrays = {name: np.zeros((7, 7)) for name in records()["automl/d0"]}
    family = families.recognise(arrays)
    assert families.guess(family.tidy(arrays), family) is None
