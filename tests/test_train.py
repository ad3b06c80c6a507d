import json
import re
import shutil
import signal
import subprocess
import time

import jax
import numpy as np
import pytest
import tiny
from jobs import ROOT, command, let_another_hold, losses, result, rows, run
from oracles.trees import flat_arrays

from efdet_jax import assemble, score, train
from efdet_jax import mesh as meshes
from efdet_jax.checkpoint import Checkpoints
from efdet_jax.errors import UsageError
from efdet_jax.flat import trees
from efdet_jax.models.initial import initial_variables
from efdet_jax.training import make_training

STEPS = 4
METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def short_config():
    config = tiny.get_config()
    config.steps = STEPS
    config.eval.every = 3
    config.checkpoint.every = 1
    config.checkpoint.keep = STEPS + 1
    config.ema_decay = 0.25
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The workdir of a short run with a checkpoint per step, and what it returned."""
    workdir = tmp_path_factory.mktemp("finished")
    # Compiles faster; what is compiled is the same.
    jax.config.update("jax_disable_most_optimizations", True)
    yield workdir, train.train(short_config(), workdir)
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def states(finished):
    """{step: the state after it} of the short run, and 0: the state before."""
    config = short_config()
    assembly = assemble.detector(config, config.data.shapes.num_classes)
    variables = initial_variables(assembly.variables, seed=0, foreground_prior=0.01)
    mesh = meshes.make_mesh(1)
    blank = trees(make_training(config, assembly, variables, mesh).state)
    found = {0: blank}
    for step in range(1, STEPS + 1):
        # The newest of a folder with this checkpoint alone.
        folder = finished[0] / f"only_{step}"
        shutil.copytree(finished[0] / "checkpoints" / str(step), folder / str(step))
        checkpoints = Checkpoints(folder, keep=1, if_it_fails="stop")
        found[step] = checkpoints.restore_latest(blank).state
        checkpoints.close()
    return found


def test_result_json_says_what_was_reached_and_what_it_cost(finished):
    workdir, returned = finished
    written = result(workdir)
    keys = {"step", *METRICS, "params", "multiply_adds", "images_per_second"}
    assert keys | {"seconds", "status"} <= set(written)
    assert written["status"] == "finished"
    assert written["step"] == STEPS
    assert written["seconds"] > 0
    assert written["images_per_second"] > 0
    for name, value in written.items():
        if value is None:
            assert np.isnan(returned[name])
        else:
            assert value == returned[name]


def test_config_json_has_the_config_and_the_versions(finished):
    written = json.loads((finished[0] / "config.json").read_text())
    assert written["config"] == json.loads(short_config().to_json())
    assert "jax" in written["versions"]


def test_every_logged_step_has_loss_parts_norm_rate_speed_and_memory(finished):
    logged = rows(finished[0])
    steps = [row for row in logged if "loss" in row]
    assert [row["step"] for row in steps] == list(range(1, STEPS + 1))
    for row in steps:
        weighted = row["class_loss"] + 50 * row["box_loss"] + row["l2_loss"]
        assert row["loss"] == pytest.approx(weighted, rel=1e-5)
        assert row["gradient_norm"] > 0
        # The first step compiles: its speed would say nothing.
        is_first = row["step"] == 1
        assert is_first == (row["images_per_second"] is None)
        assert is_first or row["images_per_second"] > 0
        assert 0 <= row["input_wait_share"] <= 1
        assert row["host_memory_gb"] > 0
        assert row["positives_per_image"] > 0
    # Warm-up from a tenth of the rate, in ten steps: but the run has only four.
    rates = [row["learning_rate"] for row in steps]
    np.testing.assert_allclose(rates[0], 0.001, rtol=1e-5)
    assert np.diff(rates).min() > 0


def test_every_evaluation_is_logged_and_drawn(finished):
    workdir = finished[0]
    evaluated = [row["step"] for row in rows(workdir) if "AP" in row]
    assert evaluated == [3, STEPS]
    pictures = sorted(path.name for path in (workdir / "pictures").iterdir())
    assert pictures == ["00.png", "01.png", "02.png"]
    assert list(workdir.glob("events.out.tfevents.*"))


def test_every_evaluation_says_whose_the_loss_is(finished):
    evaluated = [row for row in rows(finished[0]) if "AP" in row]
    for row in evaluated:
        easy, background = (
            row[f"loss_share/{name}"] for name in ("easy_background", "background")
        )
        assert 0 < easy < background < 1
        curve = [
            row[f"loss_share_of_background/easiest_{share}"]
            for share in (0.5, 0.9, 0.99, 0.999)
        ]
        assert curve[0] > 0
        assert curve == sorted(curve)
        assert curve[-1] < 1


def test_a_step_changes_every_parameter_and_statistic(states):
    before, after = (flat_arrays(states[step]._asdict()) for step in (0, 1))
    assert before["step"] == 0
    assert after["step"] == 1
    for path, value in before.items():
        kind, _, part = path.partition("/")
        # The box head learns from the levels that have objects, not from all.
        if kind == "batch_stats" or (kind == "params" and "box_head/bn" not in part):
            assert (after[path] != value).any(), path


def test_averages_cover_statistics_and_forget_faster_when_young(states):
    for step in range(1, STEPS + 1):
        decay = min(0.25, step / (9 + step))
        now = {"params": states[step].params, "batch_stats": states[step].batch_stats}
        expected = jax.tree.map(
            lambda average, value, d=decay: d * average + (1 - d) * value,
            states[step - 1].ema,
            now,
        )
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
            states[step].ema,
            expected,
        )


def test_a_finished_run_stays_as_it_is(finished):
    workdir, returned = finished
    before = (workdir / "metrics.jsonl").read_text()
    again = train.train(short_config(), workdir)
    assert (workdir / "metrics.jsonl").read_text() == before
    for name in METRICS:
        assert again[name] == pytest.approx(returned[name], nan_ok=True)


def test_a_workdir_is_not_continued_with_another_model(finished):
    config = short_config()
    config.model.neck.width = 16
    with pytest.raises(UsageError, match=r"config\.model\.neck\.width=8, not 16"):
        train.train(config, finished[0])


def test_training_data_and_validation_data_must_have_the_same_classes(tmp_path):
    (tmp_path / "val").mkdir()
    categories = [{"id": 1, "name": "cat"}]
    empty = {"images": [], "annotations": [], "categories": categories}
    (tmp_path / "val.json").write_text(json.dumps(empty))
    config = short_config()
    config.data.val = f"coco:{tmp_path}/val.json,{tmp_path}/val"
    with pytest.raises(UsageError):
        train.train(config, tmp_path / "run")


# What follows starts the main job as a person does.


@pytest.fixture(scope="module")
def unbroken(environment, tmp_path_factory):
    """The workdir of a run on one device that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("unbroken")
    done = run(environment, workdir)
    assert done.returncode == 0, done.stderr
    return workdir


@pytest.mark.slow
def test_eight_devices_have_the_loss_curve_of_one(environment, unbroken, tmp_path):
    done = run(environment, tmp_path, devices=8)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(losses(tmp_path)[:20], losses(unbroken)[:20], rtol=1e-4)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    environment, unbroken, tmp_path
):
    job = subprocess.Popen(
        command(tmp_path),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = tmp_path / "metrics.jsonl"
    while job.poll() is None:
        if log.exists() and len(log.read_text().splitlines()) >= 10:
            job.send_signal(signal.SIGTERM)
            break
        time.sleep(0.02)
    stdout, stderr = job.communicate()
    assert job.returncode == 42, stderr
    assert stdout == ""
    assert stderr.splitlines()[-1].startswith("error: stopped at step ")
    assert "Traceback" not in stderr
    stopped = result(tmp_path)
    assert stopped["status"] == "interrupted"
    assert 10 <= stopped["step"] < 60
    assert len(losses(tmp_path)) == stopped["step"]

    done = run(environment, tmp_path)
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path) == losses(unbroken)
    for name in METRICS:
        assert result(tmp_path)[name] == result(unbroken)[name]
    assert result(tmp_path)["seconds"] > stopped.get("seconds", 0)


@pytest.mark.slow
@pytest.mark.parametrize(("batch_size", "devices"), [(24, 1), (8, 8), (24, 8)])
def test_every_image_is_scored_once_whatever_the_batch_and_the_devices(
    batch_size, devices, environment, unbroken, tmp_path
):
    workdir = tmp_path / "copy"
    shutil.copytree(unbroken, workdir)
    (workdir / "result.json").unlink()
    size = f"--config.eval.batch_size={batch_size}"
    done = run(environment, workdir, "--mode=eval", size, devices=devices)
    assert done.returncode == 0, done.stderr
    expected, found = result(unbroken), result(workdir)
    assert expected["AP"] > 0
    for name in METRICS:
        if expected[name] is None:
            assert found[name] is None
        else:
            assert found[name] == pytest.approx(expected[name], rel=1e-3), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["loss.class_loss=ohem"],
        [
            "class_weights.name=inverse_frequency",
            "data.sampling.name=oversampling",
            "data.sampling.threshold=0.9",
            "data.shapes.imbalance=5.0",
        ],
    ],
)
def test_what_is_done_about_imbalance_trains(flags, environment, tmp_path):
    done = run(environment, tmp_path, *(f"--config.{flag}" for flag in flags))
    assert done.returncode == 0, done.stderr
    curve = losses(tmp_path)
    assert np.mean(curve[-10:]) < 0.8 * np.mean(curve[:10])
    assert 0 <= result(tmp_path)["loss_share/easy_background"] < 1


DIVERGING = (
    "--config.optimizer.name=sgd",
    "--config.optimizer.learning_rate=1e30",
    "--config.optimizer.clip_norm=1e30",
    "--config.max_skipped=3",
)


@pytest.mark.slow
def test_a_run_that_diverges_ends_with_one_line_and_can_be_replayed(
    environment, tmp_path
):
    done = run(environment, tmp_path, *DIVERGING)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: 4 steps in a row came to no finite loss")
    assert "--config.optimizer.learning_rate" in last
    found = result(tmp_path)
    assert found["status"] == "diverged"
    skipped = [row["skipped_steps"] for row in rows(tmp_path)]
    assert skipped[-1] >= 3
    assert f"at step {found['step']}, images " in last

    replayed = run(environment, tmp_path, "--mode=replay", *DIVERGING)
    assert replayed.returncode == 0, replayed.stderr
    first, *values, where = replayed.stdout.splitlines()
    assert first.startswith(f"step {found['step']}, images ")
    assert first.removeprefix("step ").partition(", images ")[2] in last + ", "
    assert any(value.split()[1] in ("nan", "inf", "-inf") for value in values)
    assert re.match(r"first (nan|inf): .* efdet_jax/\S+\.py:\d+: ", where)


def test_a_workdir_has_one_writer(tmp_path):
    owner = let_another_hold(tmp_path)
    for job in (train.train, score.score):
        with pytest.raises(UsageError, match=f"by process {owner} on "):
            job(short_config(), tmp_path)
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["lease.json"]
