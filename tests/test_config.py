import inspect
import json

import pytest
from ml_collections import ConfigDict

from efdet_jax import assemble, optim, postprocess, scaling, training
from efdet_jax import config as config_lib
from efdet_jax.anchors import anchor_grid
from efdet_jax.classifier_config import get_classifier_config
from efdet_jax.data import labelled, sampling
from efdet_jax.data.augment.chain import Options
from efdet_jax.data.augment.colour import colour_jitter
from efdet_jax.data.shapes import Shapes
from efdet_jax.errors import UsageError
from efdet_jax.losses import class_weights, detection_loss, smoothed_cross_entropy
from efdet_jax.models.classifier import Classifier
from efdet_jax.models.detector import BACKBONES, Detector, normalise
from efdet_jax.models.heads import Head
from efdet_jax.models.norms import BatchNorm
from efdet_jax.models.pyramid import Neck
from efdet_jax.recipes import get_small_config
from efdet_jax.validation import (
    CHOICES,
    LIMITS,
    RANGES,
    check_devices,
    derived_classifier_sizes,
    derived_sizes,
    lookup,
    validate,
)


@pytest.fixture
def config():
    return config_lib.get_config("table", 3)


@pytest.mark.parametrize("phi", scaling.DETECTORS)
def test_every_published_size_is_valid(phi):
    validate(config_lib.get_config("table", phi))


@pytest.mark.parametrize("phi", [-4, -2.5, 0, 0.1, 3.7])
def test_every_size_of_the_law_is_valid(phi):
    validate(config_lib.get_config("law", phi))
    validate(get_small_config(phi))


def test_a_key_that_does_not_exist_cannot_be_set(config):
    with pytest.raises(AttributeError, match="phi"):
        config.phi = 4
    with pytest.raises(AttributeError, match="widht"):
        config.model.neck.widht = 96


def arguments(function):
    """The names of what a function or a module takes by keyword."""
    names = {
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    return names - {"self", "parent", "name"}


# What the code gives besides the section.
SECTIONS = {
    "model.backbone": (BACKBONES["efficientnet"], {"style"}),
    "model.head": (Head, {"values_per_anchor", "num_anchors", "style"}),
    "model.batch_norm": (BatchNorm, {"frozen"}),
    "model.backbone.batch_norm": (BatchNorm, {"frozen"}),
    "model.anchors": (anchor_grid, {"image_size", "levels"}),
    "normalise": (normalise, {"image"}),
    "loss": (
        detection_loss,
        {"outputs", "targets", "class_weights", "num_positives"},
    ),
    "data.augment": (Options, set()),
    "data.augment.colour": (colour_jitter, {"example", "rng"}),
    "postprocess": (postprocess.postprocess, {"outputs", "anchors", "image_size"}),
}


@pytest.mark.parametrize("key", SECTIONS)
def test_a_section_is_the_arguments_of_one_callable(key, config):
    function, given = SECTIONS[key]
    keys = set(lookup(config, key))
    if key == "model.backbone":
        keys -= {"name", "batch_norm"}
    assert keys == arguments(function) - given


def test_sections_of_a_classifier_are_the_arguments_of_its_callables():
    config = get_classifier_config("table", 0)
    assert set(config.model) == arguments(Classifier)
    assert set(config.model.backbone) - {"name", "batch_norm"} == arguments(
        BACKBONES["efficientnet"]
    ) - {"style"}
    given = {"logits", "classes", "num_images"}
    assert set(config.loss) == arguments(smoothed_cross_entropy) - given
    for section in ("optimizer", "normalise", "eval", "checkpoint"):
        assert set(config[section]) == set(config_lib.get_config("table", 0)[section])
    given = {"source", "image_size", "batch_size", "seed", "shard"}
    keys = arguments(labelled.train_batches) | arguments(labelled.eval_batches)
    assert set(config.data) == keys - given | {"train", "val", "shapes"}


@pytest.mark.parametrize("phi", scaling.CLASSIFIERS)
def test_every_published_classifier_is_valid(phi):
    for reference in config_lib.REFERENCES:
        validate(get_classifier_config("table", phi, reference=reference))
    validate(get_classifier_config("law", phi - 0.5))


def test_phi_decides_as_many_keys_as_a_classifier_has_sizes():
    size = scaling.CLASSIFIERS[3]
    assert len(derived_classifier_sizes(size)) == len(size)


def test_the_model_section_is_the_arguments_of_the_detector(config):
    keys = set(config.model) - {"anchors"} | {"num_anchors"}
    assert keys == arguments(Detector)


def test_the_sections_that_choose_by_name_have_no_dead_key_either(config):
    weights = {"name"} | (arguments(class_weights) - {"counts"})
    assert set(config.class_weights) == weights
    sampled = {"name"} | (arguments(sampling.repeats) - {"counts"})
    assert set(config.data.sampling) == sampled
    neck = {"name"} | (arguments(Neck) - {"name_of_table", "levels", "style"})
    assert set(config.model.neck) == neck
    schedule = arguments(optim.learning_rate_schedule) - {"batch_size", "steps"}
    assert set(training.SCHEDULE_KEYS) == schedule
    optimizer = {"name"} | (arguments(optim.make_optimizer) - {"schedule", "frozen"})
    assert set(config.optimizer) == schedule | optimizer
    shapes = arguments(Shapes) - {"split", "num_images", "image_size"}
    assert set(config.data.shapes) == shapes | {"num_train", "num_val"}


def test_phi_decides_as_many_keys_as_a_size_has_fields():
    size = scaling.DETECTORS[3]
    assert len(derived_sizes(size)) == len(size)


OTHER = {
    "image_size": (512, 640),
    "model.levels": (3, 6),
    "model.backbone.width": 3.5,
    "model.backbone.depth": 3.5,
    "model.backbone.lite": True,
    "model.neck.width": 96,
    "model.neck.repeats": 2,
    "model.neck.fusion": "sum",
    "model.head.repeats": 9,
    "model.anchors.scale": 3.0,
}


def test_every_size_of_phi_is_contradicted_below(config):
    assert set(OTHER) == set(derived_sizes(scaling.DETECTORS[3]))


@pytest.mark.parametrize("key", OTHER)
@pytest.mark.parametrize("source", ["table", "law"])
def test_a_size_that_contradicts_phi_is_refused_until_sizes_are_free(source, key):
    config = config_lib.get_config(source, 3)
    *sections, name = key.split(".")
    section = lookup(config, ".".join(sections)) if sections else config
    section[name] = OTHER[key]
    with pytest.raises(UsageError) as refusal:
        validate(config)
    message = str(refusal.value)
    assert "\n" not in message
    for word in (f"config.{key}=", str(OTHER[key]), "phi=3", source, "free"):
        assert word in message
    config.scaling.source = "free"
    validate(config)


@pytest.mark.parametrize("reference", config_lib.REFERENCES)
@pytest.mark.parametrize("key", config_lib.REFERENCES["automl"])
def test_what_a_reference_has_otherwise_is_refused_until_it_is_free(reference, key):
    config = config_lib.get_config("table", 0, reference=reference)
    validate(config)
    section, _, name = key.rpartition(".")
    other = {"same": "symmetric", "symmetric": "same", True: False, False: True}
    value = other.get(lookup(config, key), 0.5)
    lookup(config, section)[name] = value
    with pytest.raises(UsageError, match=f"config.{key}={value} .*{reference}.*free"):
        validate(config)
    config.reference = "free"
    validate(config)


def test_an_unknown_reference_is_refused(config):
    config.reference = "mine"
    with pytest.raises(UsageError, match=r"config\.reference=mine .*automl.*effdet"):
        validate(config)


def test_the_smallest_image_has_one_cell_at_the_top(config):
    config.scaling.source = "free"
    config.image_size = (128, 128)
    validate(config)
    config.image_size = (640, 127)
    with pytest.raises(UsageError, match=r"config.image_size=\(640, 127\).*128"):
        validate(config)
    config.model.levels = (3, 6)
    validate(config)


@pytest.mark.parametrize("key", LIMITS)
def test_a_number_out_of_its_range_is_refused(key, config):
    if not config_lib.has_key(config, key):
        config = get_classifier_config("table", 3)
    config.scaling.source = "free"
    *sections, name = key.split(".")
    section = lookup(config, ".".join(sections)) if sections else config
    lowest, highest = LIMITS[key]
    for value in (lowest - 1, highest + 1):
        if abs(value) == float("inf"):
            continue
        section[name] = type(section[name])(value)
        with pytest.raises(UsageError, match=f"config.{key}={section[name]} "):
            validate(config)


@pytest.mark.parametrize("levels", [(3, 4), (6, 7), (1, 7)])
def test_levels_must_hold_those_of_the_backbone(levels, config):
    config.scaling.source = "free"
    config.model.levels = levels
    with pytest.raises(
        UsageError, match=r"config.model.levels=\(., .\) .* 2 to 5 .* 5 or above"
    ):
        validate(config)


@pytest.mark.parametrize("key", RANGES)
@pytest.mark.parametrize("value", [(0.5,), (0.9, 0.6), (0.0, 1.0)])
def test_a_range_has_a_smallest_and_a_largest_share(value, key, config):
    if not config_lib.has_key(config, key):
        config = get_classifier_config("table", 3)
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UsageError, match=rf"config.{key}=\(.*--config.{key}='\("):
        validate(config)


def test_a_window_is_no_larger_than_its_image(config):
    config.data.augment.crop_side = (0.5, 1.1)
    with pytest.raises(UsageError, match=r"crop_side=\(0.5, 1.1\).* at most 1"):
        validate(config)


@pytest.mark.parametrize("key", sorted(set(CHOICES) - {"model.backbone.name"}))
def test_a_choice_is_one_of_those_that_exist(key, config):
    config.scaling.source = config.reference = "free"
    section = lookup(config, key.rpartition(".")[0])
    for choice in CHOICES[key]:
        section[key.rpartition(".")[2]] = choice
        validate(config)
    section[key.rpartition(".")[2]] = "nonsense"
    with pytest.raises(UsageError, match=f"config.{key}=nonsense .*{choice}"):
        validate(config)


def test_padding_has_the_mean_of_normalisation_or_is_grey(config):
    config.normalise.mean = (1.0, 2.0, 3.0)
    assert assemble.pad_colour(config) == (1.0, 2.0, 3.0)
    config.data.pad_colour = "grey"
    assert assemble.pad_colour(config) == (128.0, 128.0, 128.0)


@pytest.mark.parametrize("key", ["batch_size", "eval.batch_size"])
def test_every_device_gets_as_many_images_as_the_others(key):
    config = ConfigDict({"batch_size": 24, "accumulate": 1, "eval": {"batch_size": 24}})
    for devices in (1, 2, 8, 24):
        check_devices(config, devices)
    config.update_from_flattened_dict({key: 20})
    with pytest.raises(UsageError, match=f"config.{key}=20 .* 8 devices.* of 8"):
        check_devices(config, 8)


def test_every_device_has_images_of_every_part():
    config = ConfigDict({"batch_size": 24, "accumulate": 6, "eval": {"batch_size": 24}})
    for devices in (1, 2, 4):
        check_devices(config, devices)
    with pytest.raises(UsageError, match=r"accumulate=6 .* 3 images .* of 48"):
        check_devices(config, 8)


def test_classes_are_counted_from_the_data_unless_the_heads_are_published():
    config = get_small_config(-3.0)
    config.data.train = "shapes:train"
    config.data.shapes.num_classes = 5
    assert assemble.num_classes(config) == 5
    config.model.num_classes = 90
    assert assemble.num_classes(config) == 90


@pytest.mark.parametrize("missing", ["images", "categories"])
def test_data_with_nothing_in_it_is_refused_by_its_key(missing, config, tmp_path):
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 4, "width": 6}],
        "annotations": [],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content | {missing: []}))
    (tmp_path / "a.png").touch()
    config.model.num_classes = 0
    config.data.val = f"coco:{tmp_path}/a.json,{tmp_path}"
    what = {"images": "images", "categories": "classes"}[missing]
    with pytest.raises(UsageError, match=f"config.data.val=.* has no {what}"):
        assemble.open_data(config, "val")
