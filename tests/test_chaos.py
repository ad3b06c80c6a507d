"""One run, killed at random again and again: it ends as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from jobs import ROOT, result, rows
from oracles.trees import flat_arrays

from efdet_jax.checkpoint import read_latest

KILLS = 20
SMALL = {
    "scaling.source": "free",
    "image_size": "(64,64)",
    "model.levels": "(3,6)",
    "model.backbone.width": 0.25,
    "model.backbone.depth": 0.3,
    "model.neck.width": 8,
    "model.neck.repeats": 1,
    "model.head.repeats": 1,
    "batch_size": 8,
    "eval.batch_size": 8,
    "steps": 240,
    "eval.every": 80,
    "checkpoint.every": 8,
    "log_every": 20,
    "data.shapes.num_val": 16,
    "optimizer.learning_rate": 0.01,
    "optimizer.warmup_steps": 40,
}


def command(workdir):
    job = [sys.executable, "-m", "efdet_jax.main", "--config=experiments/quickstart.py"]
    flags = [f"--config.{key}={value}" for key, value in SMALL.items()]
    return [*job, f"--workdir={workdir}", *flags]


def start(workdir, environment, log):
    return subprocess.Popen(
        command(workdir), cwd=ROOT, env=environment, stdout=log, stderr=log
    )


def is_saving(workdir):
    return bool(list((workdir / "checkpoints").glob("*tmp*")))


def wait_for_a_moment(job, workdir, chance, longest):
    """Waits until any time, or until some time after a checkpoint was begun."""
    if chance.random() < 0.5:
        end = time.monotonic() + chance.uniform(0, longest)
        while job.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        return
    while job.poll() is None and not is_saving(workdir):
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.3))


def kill(job, chance):
    """Kills in one of three ways; returns its name."""
    how = chance.choice(["SIGKILL", "SIGTERM", "SIGTERM, SIGKILL"])
    job.send_signal(signal.SIGTERM if how.startswith("SIGTERM") else signal.SIGKILL)
    if how == "SIGTERM, SIGKILL":
        time.sleep(chance.uniform(0, 0.5))
        job.kill()
    return how


@pytest.mark.slow(minutes=7)
def test_twenty_random_kills_change_no_bit(environment, tmp_path):
    seed = int(os.environ.get("CHAOS_SEED", time.time_ns() % 2**32))
    sys.stdout.write(f"CHAOS_SEED={seed}\n")
    chance = random.Random(seed)
    environment = environment | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    with (tmp_path / "log.txt").open("w") as log:
        assert start(unbroken, environment, log).wait() == 0
        kills = in_saves = 0
        while kills < KILLS:
            job = start(broken, environment, log)
            wait_for_a_moment(job, broken, chance, longest=12)
            how = kill(job, chance)
            code = job.wait(timeout=60)
            if code == 0:
                break
            kills += 1
            in_saves += is_saving(broken)
            steps = [path.name for path in (broken / "checkpoints").glob("*")]
            told = f"{kills}: {how} -> {code}; checkpoints {' '.join(sorted(steps))}"
            sys.stdout.write(told + "\n")
            assert code in (-signal.SIGKILL, -signal.SIGTERM, 42)
        assert start(broken, environment, log).wait() == 0
    sys.stdout.write(f"{kills} kills, {in_saves} of them left half a checkpoint\n")
    assert kills == KILLS, "the run was over too soon"
    compare(broken, unbroken)


def compare(broken, unbroken):
    one, other = (read_latest(path / "checkpoints") for path in (broken, unbroken))
    assert one.step == other.step == SMALL["steps"]
    assert one.progress["batches"] == other.progress["batches"]
    arrays, expected = flat_arrays(one.state), flat_arrays(other.state)
    assert arrays.keys() == expected.keys()
    for name, value in expected.items():
        assert arrays[name].tobytes() == value.tobytes(), name
    assert logged(broken) == logged(unbroken)
    assert result(broken)["AP"] == result(unbroken)["AP"] > 0
    assert result(broken)["best_step"] == result(unbroken)["best_step"]
    assert names(broken) == names(unbroken)


def names(workdir):
    """What is in a run's folder, and which checkpoints there are."""
    return {
        path.name
        for folder in (workdir, workdir / "checkpoints")
        for path in folder.iterdir()
        # There is one for each time that the command was started.
        if not path.name.startswith("events.out")
    }


def logged(workdir):
    """What was logged, without what depends on the clock."""
    return [
        {key: v for key, v in row.items() if key in ("step", "loss", "AP", "AP50")}
        for row in rows(workdir)
    ]
