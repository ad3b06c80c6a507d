"""Training and scoring a classifier goes the way of detectors, to other figures."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny
import tiny_classifier
from oracles.trees import flat_arrays

from efdet_jax import assemble, score, train
from efdet_jax.data.labels import LabelMap
from efdet_jax.errors import UsageError
from efdet_jax.weights.filling import fill
from efdet_jax.weights.importing import import_weights
from efdet_jax.weights.opening import open_weights
from efdet_jax.weights.saving import save

ROOT = pathlib.Path(__file__).parents[1]


def rows(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The workdir of a short run, and what it returned."""
    workdir = tmp_path_factory.mktemp("finished")
    # Compiles faster; what is compiled is the same.
    jax.config.update("jax_disable_most_optimizations", True)
    yield workdir, train.train(tiny_classifier.get_config(), workdir)
    jax.config.update("jax_disable_most_optimizations", False)


def test_result_json_says_accuracy_and_cost(finished):
    workdir, returned = finished
    written = json.loads((workdir / "result.json").read_text())
    assert {"top1", "top5", "params", "multiply_adds", "status"} <= set(written)
    assert written["status"] == "finished"
    # Shares of 21 images.
    assert (written["top1"] * 21) == pytest.approx(round(written["top1"] * 21))
    assert written["top5"] >= written["top1"] == returned["top1"]


def test_every_logged_step_has_its_loss_and_every_evaluation_is_drawn(finished):
    workdir, _ = finished
    logged = rows(workdir)
    steps = [row for row in logged if "loss" in row]
    assert [row["step"] for row in steps] == [1, 2, 3, 4]
    for row in steps:
        assert row["loss"] == pytest.approx(row["class_loss"] + row["l2_loss"])
        # Six classes, softened by 0.1, of an untrained network.
        assert 0.5 < row["class_loss"] < 5
        assert (row["train_top1"] * 8) % 1 == 0
    assert [row["step"] for row in logged if "top1" in row] == [3, 4]
    assert len(list((workdir / "pictures").iterdir())) == 3


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(finished, tmp_path):
    workdir, returned = finished
    shutil.copytree(workdir, tmp_path / "run")
    # As it was left after two of the four steps.
    shutil.rmtree(tmp_path / "run/checkpoints/4")
    again = train.train(tiny_classifier.get_config(), tmp_path / "run")
    assert again["top1"] == returned["top1"]
    losses = [[row.get("loss") for row in rows(w)] for w in (workdir, tmp_path / "run")]
    assert losses[0] == losses[1]


def test_evaluation_alone_gives_the_same_figures(finished, tmp_path):
    workdir, returned = finished
    shutil.copytree(workdir, tmp_path / "run")
    scored = score.score(tiny_classifier.get_config(), tmp_path / "run")
    assert (scored["top1"], scored["top5"]) == (returned["top1"], returned["top5"])


def detector_config():
    """A detector with the backbone of the tiny classifier."""
    config = tiny.get_config()
    config.model.backbone.width = config.model.backbone.depth = 0.25
    config.model.num_classes = 2
    return config


@pytest.mark.parametrize("as_file", [False, True])
def test_its_backbone_starts_a_detector(as_file, finished, tmp_path):
    source = finished[0]
    before = flat_arrays(open_weights(source).arrays)
    if as_file:
        variables = import_weights(source, tiny_classifier.get_config())
        save(tmp_path / "classifier.safetensors", variables, None)
        source = tmp_path / "classifier.safetensors"
    after = {
        path.partition("/")[2]: array
        for path, array in flat_arrays(
            import_weights(source, detector_config())
        ).items()
    }
    shared = [path for path in after if path.startswith("backbone/")]
    assert shared
    for path in shared:
        np.testing.assert_array_equal(after[path], before[path])
    assert any(path.startswith("class_head/") for path in after)


def test_of_other_classes_only_shared_rows_of_the_predictor_are_kept(finished):
    weights = open_weights(finished[0])
    names = weights.labels.names
    labels = LabelMap((1, 2), ("owl", names[3]))
    config = tiny_classifier.get_config()
    config.init_from_shared_classes = True
    shapes = assemble.classifier(config, labels.num_classes).variables
    filled, report = fill(weights, shapes, labels, config)
    assert set(report.initial) == {"head/predict/kernel", "head/predict/bias"}
    theirs = weights.arrays["head/predict/kernel"]
    ours = filled["params"]["head"]["predict"]["kernel"]
    np.testing.assert_array_equal(ours[:, 1], theirs[:, 3])
    assert not np.isin(ours[:, 0], theirs).any()


def test_a_data_set_of_objects_is_refused_in_one_line(tmp_path):
    config = tiny_classifier.get_config()
    config.data.train = "shapes:train"
    with pytest.raises(UsageError, match=r"config.data.train=shapes:train has .*crops"):
        train.train(config, tmp_path)


@pytest.mark.slow
def test_eight_devices_have_the_loss_curve_of_one(finished, tmp_path):
    job = [sys.executable, "-m", "efdet_jax.main", "--config=tests/tiny_classifier.py"]
    for devices in (1, 8):
        done = subprocess.run(
            [*job, f"--workdir={tmp_path / str(devices)}"],
            cwd=ROOT,
            env=os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        table = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
        assert {"top1", "top5"} <= set(table)
    one, eight = (
        [row["loss"] for row in rows(tmp_path / str(n)) if "loss" in row]
        for n in (1, 8)
    )
    np.testing.assert_allclose(one, eight, rtol=1e-4)
