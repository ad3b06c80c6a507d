"""Starting from weights: what is loaded, what stays, what a workdir remembers."""

import logging
import re

import jax
import numpy as np
import pytest
import tiny
from oracles.trees import flat_arrays

from efdet_jax import assemble
from efdet_jax.checkpoint import read_latest
from efdet_jax.errors import UsageError
from efdet_jax.models.initial import initial_variables
from efdet_jax.score import score
from efdet_jax.train import train
from efdet_jax.weights import import_weights
from efdet_jax.weights.saving import save


@pytest.fixture(scope="module", autouse=True)
def quick_compilation():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def short_config(path=""):
    config = tiny.get_config()
    config.steps = 2
    config.eval.pictures = 0
    config.init_from = str(path)
    return config


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of ours for the drawn data, its statistics not those of a fresh model."""
    config = short_config()
    labels = assemble.open_data(config, "train").labels
    assembly = assemble.detector(config, labels.num_classes)
    variables = initial_variables(assembly.variables, seed=7, foreground_prior=0.01)
    rng = np.random.default_rng(0)
    variables["batch_stats"] = jax.tree.map(
        lambda x: rng.uniform(0.5, 1.5, x.shape).astype(np.float32),
        variables["batch_stats"],
    )
    path = tmp_path_factory.mktemp("weights") / "start"
    save(path, variables, labels)
    return path


@pytest.fixture(scope="module")
def frozen(weights, tmp_path_factory):
    """A run from the file with everything frozen that can be: workdir, variables."""
    workdir = tmp_path_factory.mktemp("frozen")
    config = short_config(weights)
    config.model.frozen.backbone = True
    config.model.frozen.batch_norm = True
    # What would move a frozen kernel although it has no gradient from the losses.
    config.l2_loss = 1e-2
    config.optimizer.decoupled_weight_decay = 0.1
    train(config, workdir)
    return workdir, flat_arrays(read_latest(workdir / "checkpoints").state)


def test_what_is_frozen_stays_to_the_bit_and_the_rest_learns(frozen, weights):
    start = flat_arrays(import_weights(weights, short_config()))
    _, state = frozen
    for name, before in start.items():
        after = state[name]
        if name.startswith(("params/backbone/", "batch_stats/")):
            np.testing.assert_array_equal(after, before, err_msg=name)
        elif name.endswith("kernel"):
            assert (after != before).any(), name


def test_without_freezing_everything_moves(weights, tmp_path):
    train(short_config(weights), tmp_path)
    state = flat_arrays(read_latest(tmp_path / "checkpoints").state)
    for name, before in flat_arrays(import_weights(weights, short_config())).items():
        if name.endswith(("kernel", "mean")):
            assert (state[name] != before).any(), name


def test_resuming_needs_no_weights_and_starts_from_none(frozen, weights, tmp_path):
    workdir, _ = frozen
    config = short_config(tmp_path / "gone")
    config.model.frozen.backbone = True
    config.model.frozen.batch_norm = True
    before = (workdir / "metrics.jsonl").read_text()
    assert train(config, workdir)["status"] == "finished"
    assert (workdir / "metrics.jsonl").read_text() == before


def test_scoring_weights_needs_no_training_data(weights, tmp_path, caplog):
    config = short_config(weights)
    config.data.train = "voc:nowhere,train"
    with caplog.at_level(logging.INFO):
        result = score(config, tmp_path)
    assert re.search(r"coverage +100.0%", caplog.text)
    assert result["status"] == "scored"
    assert result["step"] == 0
    assert result["images_per_second"] > 0
    assert np.isfinite(result["AP"])


def test_scoring_nothing_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no checkpoint.*init_from"):
        score(short_config(), tmp_path)


def test_a_run_can_start_from_the_workdir_of_another(frozen):
    workdir, state = frozen
    config = short_config(workdir)
    imported = flat_arrays(import_weights(workdir, config))
    for name, value in imported.items():
        np.testing.assert_array_equal(value, state[f"ema/{name}"])


def test_a_workdir_of_other_classes_is_refused(frozen):
    config = short_config()
    config.model.frozen.backbone = True
    config.model.frozen.batch_norm = True
    config.data.shapes.num_classes = 3
    with pytest.raises(UsageError, match="other classes"):
        train(config, frozen[0])
