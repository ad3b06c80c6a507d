import errno
import json
import os
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    EventAccumulator,
)
from tensorboard.util.tensor_util import make_ndarray

from efdet_jax import recipes
from efdet_jax.errors import UsageError
from efdet_jax.journal import Journal, prepare_workdir
from efdet_jax.validation import lookup


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path, writes=True)


def rows(journal):
    lines = (journal.workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_every_scalar_is_a_line_with_its_step(journal):
    journal.scalars(10, {"loss": 1.5})
    journal.scalars(20, {"loss": 1.25, "AP": 0.5})
    assert rows(journal) == [
        {"step": 10, "loss": 1.5},
        {"step": 20, "loss": 1.25, "AP": 0.5},
    ]


def tensorboard(folder):
    """What TensorBoard has read of a folder."""
    accumulator = EventAccumulator(str(folder), tensor_size_guidance={"scalars": 0})
    return accumulator.Reload()


def test_tensorboard_has_every_scalar_and_picture(journal):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 20, 30, 3), np.uint8)
    journal.scalars(10, {"loss": 1.5, "AP": float("nan")})
    journal.scalars(20, {"loss": 1.25})
    journal.pictures(20, list(pictures))
    shown = tensorboard(journal.workdir)
    found = [
        (event.step, make_ndarray(event.tensor_proto).item())
        for event in shown.Tensors("loss")
    ]
    assert found == [(10, 1.5), (20, 1.25)]
    (nan,) = shown.Tensors("AP")
    assert np.isnan(make_ndarray(nan.tensor_proto))
    for name, plugin in (("loss", "scalars"), ("pictures/00", "images")):
        assert shown.SummaryMetadata(name).plugin_data.plugin_name == plugin
    for index, picture in enumerate(pictures):
        (event,) = shown.Tensors(f"pictures/0{index}")
        width, height, png = make_ndarray(event.tensor_proto)
        assert (width, height) == (b"30", b"20")
        decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(decoded[..., ::-1], picture)


def test_tensorboard_has_the_steps_that_were_done_again_once(tmp_path):
    config = recipes.get_small_config(-3.0)
    for first, last, loss in ((1, 7, 1.0), (6, 9, 2.0)):
        journal = Journal(tmp_path, writes=True)
        journal.start(config, from_step=first - 1)
        for step in range(first, last + 1):
            journal.scalars(step, {"loss": loss})
    found = [
        (event.step, make_ndarray(event.tensor_proto).item())
        for event in tensorboard(tmp_path).Tensors("loss")
    ]
    assert found == [(step, 1.0 if step < 6 else 2.0) for step in range(1, 10)]


def test_what_is_no_number_is_null_in_every_file(journal):
    journal.scalars(1, {"loss": float("nan"), "norm": float("inf")})
    journal.result({"AP": float("nan"), "status": "diverged", "step": 1})
    assert rows(journal) == [{"step": 1, "loss": None, "norm": None}]
    text = (journal.workdir / "result.json").read_text()
    assert json.loads(text) == {"AP": None, "status": "diverged", "step": 1}


def test_a_result_replaces_the_one_before(journal):
    journal.result({"step": 1, "AP": 0.1})
    journal.result({"step": 2})
    result = json.loads((journal.workdir / "result.json").read_text())
    assert result == {"step": 2}
    assert {path.name for path in journal.workdir.iterdir()} == {"result.json"}


def test_resuming_forgets_what_was_logged_after_the_checkpoint(journal):
    config = recipes.get_small_config(-3.0)
    for step in range(1, 8):
        journal.scalars(step, {"loss": float(step)})
    journal.start(config, from_step=5)
    assert [row["step"] for row in rows(journal)] == [1, 2, 3, 4, 5]
    journal.start(config, from_step=0)
    assert rows(journal) == []


def test_half_a_line_is_forgotten(journal):
    config = recipes.get_small_config(-3.0)
    for step in (1, 2):
        journal.scalars(step, {"loss": float(step)})
    with (journal.workdir / "metrics.jsonl").open("a") as log:
        log.write('{"step": 3, "lo')
    journal.start(config, from_step=5)
    assert [row["step"] for row in rows(journal)] == [1, 2]


FILL = """
import logging, pathlib, resource, sys
import numpy as np
from efdet_jax.journal import Journal
logging.basicConfig(format="%(message)s")
workdir = pathlib.Path(sys.argv[1])
journal = Journal(workdir, writes=True)
noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
values = {f"value_{i:02d}": 0.123456789 for i in range(30)}
journal.scalars(0, values)
# No file may be larger than this, as on a disk that is nearly full.
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, hard))
for step in range(1, 60):
    journal.scalars(step, values)
journal.pictures(1, [noise, noise])
journal.detections([values] * 100)
journal.result({"step": 1} | {f"{i}": values for i in range(100)})
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
journal.scalars(60, values)
journal.pictures(2, [noise])
journal.result({"step": 2})
"""


@pytest.mark.slow
def test_a_full_disk_costs_what_was_to_be_logged_and_no_more(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path)],
        cwd=pathlib.Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in ("metrics.jsonl", "pictures", "detections.json", "result.json"):
        told = f"{tmp_path / name} lacks something ([Errno 27] File too large): make"
        assert done.stderr.count(told) == 1, done.stderr
    logged = (tmp_path / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in logged]
    assert steps[-1] == 60
    assert steps[:-1] == list(range(len(steps) - 1))
    assert 5 < len(steps) < 30
    assert json.loads((tmp_path / "result.json").read_text()) == {"step": 2}
    assert cv2.imread(tmp_path / "pictures/00.png").shape == (200, 200, 3)
    (events,) = tmp_path.glob("events.out.tfevents.*")
    told = f"{events} lacks something ([Errno 27] File too large): make"
    assert done.stderr.count(told) == 1, done.stderr
    shown = tensorboard(tmp_path)
    steps = [event.step for event in shown.Tensors("value_07")]
    assert steps == [*range(len(steps) - 1), 60]
    assert [event.step for event in shown.Tensors("pictures/00")] == [2]
    assert not list(tmp_path.glob(".*"))


def test_config_json_has_the_resolved_config_and_the_versions(journal):
    config = recipes.get_small_config(-3.0)
    journal.start(config, from_step=0)
    written = json.loads((journal.workdir / "config.json").read_text())
    assert written["config"] == json.loads(config.to_json())
    packages = {"efdet-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint"}
    assert packages <= set(written["versions"])


def test_a_full_disk_is_no_place_for_a_run(tmp_path, monkeypatch):
    def is_full(dir):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("efdet_jax.journal.tempfile.TemporaryFile", is_full)
    with pytest.raises(UsageError, match=r"--workdir=.* \(No space left on device\)"):
        prepare_workdir(str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.neck.width", 96),
        ("model.num_classes", 7),
        ("model.anchors.octaves", 2),
        ("optimizer.name", "sgd"),
    ],
)
def test_a_workdir_of_another_model_is_refused(journal, key, value):
    config = recipes.get_small_config(-3.0)
    assert journal.check_resumable(config) == []
    journal.start(config, from_step=0)
    assert journal.check_resumable(config) == []
    before = lookup(config, key)
    config.update_from_flattened_dict({key: value})
    with pytest.raises(
        UsageError, match=f"config.{key}={before}, not {value}.*workdir"
    ):
        journal.check_resumable(config)


def test_a_run_may_go_on_longer_or_slower_and_is_told_what_changed(journal):
    config = recipes.get_small_config(-3.0)
    journal.start(config, from_step=0)
    before = config.copy_and_resolve_references()
    config.steps *= 2
    config.optimizer.learning_rate /= 2
    rate = "optimizer.learning_rate"
    assert journal.check_resumable(config) == [
        (rate, before.optimizer.learning_rate, config.optimizer.learning_rate),
        ("steps", before.steps, config.steps),
    ]


def test_all_that_must_not_differ_is_named_at_once(journal):
    config = recipes.get_small_config(-3.0)
    journal.start(config, from_step=0)
    config.model.neck.width = 96
    config.optimizer.name = "sgd"
    with pytest.raises(UsageError, match=r"neck\.width=.*; config\.optimizer\.name="):
        journal.check_resumable(config)


def test_a_workdir_is_made_with_its_parents_and_left_empty(tmp_path):
    workdir = prepare_workdir(str(tmp_path / "a/b"))
    assert workdir.is_dir()
    assert not list(workdir.iterdir())
    prepare_workdir(str(workdir))


def test_a_workdir_below_a_file_is_refused_by_name(tmp_path):
    (tmp_path / "file").touch()
    path = f"{tmp_path}/file/run"
    with pytest.raises(UsageError, match=f"--workdir={path} .*choose") as refusal:
        prepare_workdir(path)
    assert "\n" not in str(refusal.value)
