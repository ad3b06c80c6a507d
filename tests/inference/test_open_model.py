"""A run or a file of weights is opened as what it was trained as, or refused."""

import gzip
import json
import pathlib

import jax
import numpy as np
import pytest
import tiny
import tiny_classifier
import tiny_run
from oracles.recorded import GOLDENS

from efdet_jax import assemble, recipes
from efdet_jax.comparisons import get_retinanet_config
from efdet_jax.config import from_json, get_config
from efdet_jax.errors import UsageError
from efdet_jax.inference.loading import open_model, read_names
from efdet_jax.inference.published import published_config
from efdet_jax.models.initial import initial_variables
from efdet_jax.weights.names import families
from efdet_jax.weights.opening import Weights
from efdet_jax.weights.saving import save

NAMES = ("owl", "fox")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A workdir whose weights were once started from others, in part."""
    config = tiny.get_config()
    config.init_from, config.init_from_ignore = "gone.h5", "backbone/.*"
    workdir = tmp_path_factory.mktemp("open") / "run"
    return workdir, tiny_run.make_run(workdir, config)


@pytest.fixture(scope="module")
def model(run):
    """What that workdir is opened as."""
    return opened(run[0])


@pytest.fixture(scope="module")
def nameless(tmp_path_factory):
    """A file of weights that says neither classes nor config."""
    assembly = assemble.detector(tiny.get_config(), 2)
    variables = initial_variables(assembly.variables, seed=0, foreground_prior=0.1)
    path = tmp_path_factory.mktemp("open") / "nameless"
    save(path, variables, None)
    return path


def opened(path, config=None, labels=None):
    return open_model(str(path), config=config, labels=labels)


def refusal(*args, **kwargs):
    with pytest.raises(UsageError) as caught:
        opened(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_run_opens_with_its_config_its_classes_and_its_averages(run, model):
    expected = tiny.get_config()
    expected.model.num_classes = 2
    assert model.config.to_dict() == expected.to_dict()
    assert model.labels == tiny_run.LABELS
    jax.tree.map(np.testing.assert_array_equal, model.variables, run[1])
    assert model.assembly.anchors.shape == (3 * 3 * (64 + 16 + 4 + 1), 4)


@pytest.mark.parametrize(
    "config",
    [
        tiny.get_config(),
        get_config("table", "7x"),
        recipes.get_effdet_config("tf_efficientdet_lite0"),
        get_retinanet_config(50),
        tiny_classifier.get_config(),
    ],
)
def test_a_config_comes_back_from_json_as_it_was(config):
    back = from_json(json.loads(config.to_json()))
    assert back.to_dict() == config.to_dict()
    assert back.is_locked


@pytest.mark.parametrize("content", [None, "{", '{"versions": {}}', "[]"])
def test_a_run_whose_config_is_lost_needs_one(run, tmp_path, content):
    workdir = tmp_path / "run"
    workdir.mkdir()
    (workdir / "checkpoints").symlink_to(run[0] / "checkpoints")
    if content:
        (workdir / "config.json").write_text(content)
    message = refusal(workdir)
    assert "config.json is missing or damaged" in message
    assert "--config" in message


def test_a_config_of_another_version_is_refused(run, tmp_path):
    workdir = tmp_path / "run"
    workdir.mkdir()
    (workdir / "checkpoints").symlink_to(run[0] / "checkpoints")
    text = json.loads((run[0] / "config.json").read_text())
    del text["config"]["model"]["neck"]
    (workdir / "config.json").write_text(json.dumps(text))
    assert "of another version" in refusal(workdir)


def test_a_folder_that_was_never_trained_in_is_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    assert "has no checkpoint: train there first" in refusal(tmp_path)


def test_a_file_that_was_saved_with_its_config_needs_no_other(model, tmp_path):
    save(tmp_path / "file", model.variables, model.labels, model.config)
    again = opened(tmp_path / "file")
    assert again.config.to_dict() == model.config.to_dict()
    assert again.labels == model.labels
    jax.tree.map(np.testing.assert_array_equal, again.variables, model.variables)


def test_weights_of_no_published_size_need_a_config(nameless):
    message = refusal(nameless, labels=NAMES)
    assert str(nameless) in message
    assert "--config=experiments/" in message


def test_weights_without_names_for_their_classes_need_some(nameless):
    assert "--labels=names.txt" in refusal(nameless, tiny.get_config())
    named = opened(nameless, tiny.get_config(), NAMES)
    assert named.labels == ((1, 2), NAMES)


def test_given_names_keep_the_ids_of_a_run(run):
    assert opened(run[0], labels=("uhu", "lis")).labels == ((4, 2), ("uhu", "lis"))


def test_a_wrong_number_of_names_is_refused(nameless):
    message = refusal(nameless, tiny.get_config(), ("owl", "fox", "cat"))
    assert "3 names" in message
    assert "2 classes" in message


def test_the_config_of_another_model_is_refused(nameless):
    config = tiny.get_config()
    config.model.neck.width = 16
    assert "use the experiment of that model" in refusal(nameless, config, NAMES)


def test_variables_that_would_be_drawn_at_random_are_refused(nameless):
    config = tiny.get_config()
    config.init_from_ignore = "neck/.*"
    assert "neck/" in refusal(nameless, config, NAMES)


def test_a_classifier_is_refused(tmp_path):
    config = tiny_classifier.get_config()
    assembly = assemble.classifier(config, 6)
    variables = initial_variables(assembly.variables, seed=0, foreground_prior=None)
    save(tmp_path / "classifier", variables, None, config)
    assert "holds no detector (efdet_jax classifier)" in refusal(
        tmp_path / "classifier"
    )


def recorded(name):
    """Weights with the names and shapes of a published file."""
    record = json.loads(gzip.decompress((GOLDENS / "names.json.gz").read_bytes()))[name]
    zero = np.zeros((), np.float32)
    arrays = {name: np.broadcast_to(zero, shape) for name, shape in record.items()}
    family = families.recognise(arrays)
    return Weights(pathlib.Path(name), family, family.tidy(arrays), None)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("automl/d0", get_config("table", 0)),
        ("automl_objects/d0", get_config("table", 0)),
        ("automl/d1", get_config("table", 1)),
        ("automl/d7x", get_config("table", "7x")),
        (
            "effdet/tf_efficientdet_lite0",
            recipes.get_effdet_config("tf_efficientdet_lite0"),
        ),
        ("effdet/tf_efficientdet_d0", recipes.get_effdet_config("tf_efficientdet_d0")),
        ("effdet/efficientdet_d0", recipes.get_effdet_config("efficientdet_d0")),
    ],
)
def test_a_published_file_tells_its_config(name, config):
    assert published_config(recorded(name)).to_dict() == config.to_dict()


def test_files_of_d6_and_d7_are_not_told_apart():
    with pytest.raises(UsageError, match=r"suits d6 and d7: .* with --config"):
        published_config(recorded("automl/d6"))


def test_names_are_the_lines_of_a_file(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes("\ufeffowl\r\n\r\n  red fox \nUhu ä\n".encode())
    assert read_names(str(path)) == ("owl", "red fox", "Uhu ä")


@pytest.mark.parametrize("content", [None, b"", b"\n \n", b"\xff\xfe\x00"])
def test_a_file_without_names_is_refused(tmp_path, content):
    path = tmp_path / "names.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=f"--labels={path}"):
        read_names(str(path))
