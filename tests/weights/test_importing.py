import json

import jax
import numpy as np
import pytest
import tiny
from oracles.trees import flat_arrays
from safetensors.numpy import save_file

from efdet_jax import models, weights
from efdet_jax.data.labels import COCO, LabelMap
from efdet_jax.errors import UsageError
from efdet_jax.models.detector import abstract_variables
from efdet_jax.weights.filling import fill
from efdet_jax.weights.opening import LABELS, classes_of, open_weights
from efdet_jax.weights.saving import save

ANIMALS = LabelMap((7, 3), ("cat", "dog"))
KERNEL = "class_head/predict/pointwise/kernel"


def config_of(num_classes):
    config = tiny.get_config()
    config.model.num_classes = num_classes
    return config


KNOWN_SHAPES = {}


def shapes_of(config):
    key = config.model.to_json()
    if key not in KNOWN_SHAPES:
        model = models.create(config.model)
        KNOWN_SHAPES[key] = abstract_variables(model, tuple(config.image_size))
    return KNOWN_SHAPES[key]


def random_variables(config, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: rng.uniform(0.5, 1.5, leaf.shape).astype(leaf.dtype),
        shapes_of(config),
    )


@pytest.fixture
def animals(tmp_path):
    """A file of ours with two classes, and the variables in it."""
    path = tmp_path / "animals"
    variables = random_variables(config_of(2))
    save(path, variables, ANIMALS)
    return path, variables


def edited(path, **changes):
    """The file again with some arrays replaced, or left out where it says None."""
    arrays = dict(open_weights(path).arrays) | changes
    kept = {name: array for name, array in arrays.items() if array is not None}
    save_file(kept, path, metadata={LABELS: json.dumps(ANIMALS.to_json())})


def filled(path, config, labels):
    return fill(open_weights(path), shapes_of(config), labels, config)


def test_what_was_saved_comes_back_with_its_classes(animals):
    path, variables = animals
    found, report = filled(path, config_of(2), ANIMALS)
    jax.tree.map(np.testing.assert_array_equal, found, variables)
    assert open_weights(path).labels == ANIMALS
    assert report.coverage == 1
    assert not report.initial
    assert not report.unused


def test_without_a_number_of_classes_the_file_says_it(animals):
    path, variables = animals
    found = weights.import_weights(path, config_of(0))
    jax.tree.map(np.testing.assert_array_equal, found, variables)


def test_other_classes_start_the_predictor_afresh_and_the_report_says_so(animals):
    path, variables = animals
    config = config_of(3)
    labels = LabelMap((1, 2, 3), ("sheep", "Dog", "cow"))
    found, report = filled(path, config, labels)
    before, after = flat_arrays(variables), flat_arrays(found)
    assert set(report.initial) == {KERNEL, KERNEL.replace("kernel", "bias")}
    for name in before.keys() - {f"params/{path}" for path in report.initial}:
        np.testing.assert_array_equal(after[name], before[name])
    sizes = {name: array.size for name, array in after.items()}
    fresh = sum(sizes[f"params/{path}"] for path in report.initial)
    assert report.coverage == pytest.approx(1 - fresh / sum(sizes.values()))
    table = report.table()
    for words in (str(path), "3 classes instead of 2", f"{report.coverage:.1%}"):
        assert words in table
    room = next(line for line in table.splitlines() if "class_head" in line)
    assert room.split()[-1] == "2"


def test_rows_of_classes_of_one_name_are_kept_on_request(animals):
    path, variables = animals
    config = config_of(3)
    config.init_from_shared_classes = True
    labels = LabelMap((1, 2, 3), ("sheep", "Dog", "cow"))
    found, report = filled(path, config, labels)
    assert "1 kept by name (Dog" in report.initial[KERNEL]
    for leaf in ("kernel", "bias"):
        theirs, ours = (
            tree["params"]["class_head"]["predict"]["pointwise"][leaf]
            for tree in (variables, found)
        )
        # Nine anchors, classes changing fastest; "dog" is their 1 and our 1 of 0..2.
        np.testing.assert_array_equal(ours[..., 1::3], theirs[..., 1::2])
        assert not np.isin(ours[..., 0::3], theirs).any()


def test_as_many_classes_of_other_names_are_other_classes(animals):
    labels = LabelMap((1, 2), ("dog", "cat"))
    _, report = filled(animals[0], config_of(2), labels)
    assert report.initial[KERNEL] == "2 classes of other names"
    _, report = filled(animals[0], config_of(2), LabelMap((8, 9), ("Cat", "DOG")))
    assert not report.initial


@pytest.mark.parametrize("num_classes", [80, 90])
def test_a_file_that_says_no_classes_has_cocos_if_it_has_as_many(num_classes, tmp_path):
    path = tmp_path / "file"
    config = config_of(num_classes)
    save_file(
        {
            name.partition("/")[2]: np.asarray(array)
            for name, array in flat_arrays(random_variables(config)).items()
        },
        path,
    )
    labels = classes_of(open_weights(path), config)
    assert labels.num_classes == num_classes
    assert set(COCO.names) <= set(labels.names)
    assert labels.names.index("toothbrush") == num_classes - 1


STEM = "backbone/stem/kernel"
ERRORS = {
    "an array is missing": (
        {"backbone/stem_bn/scale": None},
        {},
        ("has no backbone/stem_bn/scale", "init_from_ignore"),
    ),
    "an array has another shape": (
        {STEM: np.zeros((5, 5, 3, 8), np.float32)},
        {},
        (STEM, "[5, 5, 3, 8]", "[3, 3, 3, 8]", "init_from_ignore"),
    ),
    "a number is none": (
        {STEM: np.full((3, 3, 3, 8), np.nan, np.float32)},
        {},
        (STEM, "not finite"),
    ),
    "there is too much in it": (
        {"neck/cell_7/p3_out_bn/scale": np.ones(8, np.float32)},
        {},
        ("no place for neck/cell_7/p3_out_bn/scale", "init_from_ignore"),
    ),
    "the model is wider": ({}, {"model.neck.width": 16}, ("[8]", "[16]")),
    "the model is deeper": (
        {},
        {"model.head.repeats": 2},
        ("has no box_head/bn_1_p3/",),
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_file_that_does_not_fit_is_refused_in_one_line(case, animals):
    changes, overrides, words = ERRORS[case]
    edited(animals[0], **changes)
    config = config_of(2)
    config.update_from_flattened_dict(overrides)
    with pytest.raises(UsageError) as refusal:
        filled(animals[0], config, ANIMALS)
    message = str(refusal.value)
    assert "\n" not in message
    for word in (str(animals[0]), *words):
        assert word in message


def test_what_is_declared_may_differ(animals):
    path, variables = animals
    edited(path, **{STEM: np.zeros((5, 5, 3, 8), np.float32)})
    config = config_of(2)
    config.init_from_ignore = "backbone/stem/"
    found, report = filled(path, config, ANIMALS)
    assert set(report.initial) == {STEM}
    drawn = found["params"]["backbone"]["stem"]["kernel"]
    assert drawn.shape == (3, 3, 3, 8)
    assert drawn.std() > 0
    np.testing.assert_array_equal(
        found["params"]["backbone"]["stem_bn"]["scale"],
        variables["params"]["backbone"]["stem_bn"]["scale"],
    )


def test_a_file_of_no_known_model_is_refused(tmp_path):
    path = tmp_path / "other"
    save_file({"encoder.layer.0.weight": np.zeros((2, 2), np.float32)}, path)
    with pytest.raises(UsageError, match=r"other: .*encoder.layer.0.weight"):
        weights.import_weights(path, config_of(2))
