"""A sweep of tiny trials, as a user runs it: whole, again, killed and gone on with."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from slurm_cluster import cluster, missing

from efdet_jax import lease
from efdet_jax.sweep import attempt

ROOT = pathlib.Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def start(workdir, *flags, config="tests/tiny_sweep.py", cache=None):
    """Starts a sweep; `cache` is the workdir of another that compiled the same."""
    settings = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # compiles faster
    if cache:
        settings["JAX_COMPILATION_CACHE_DIR"] = str(cache / "compilation_cache")
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "efdet_jax.sweep"),
            *(f"--config={config}", f"--workdir={workdir}", *flags),
        ],
        cwd=ROOT,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(workdir, *flags, **options):
    process = start(workdir, *flags, **options)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def results(workdir):
    """The figures of every trial, without what time and chance decide."""
    return {
        path.parent.name: {
            key: value
            for key, value in json.loads(path.read_text()).items()
            if key in ("AP", "AR100", "status", "step", "params", "config_hash", "seed")
        }
        for path in workdir.glob("*/result.json")
    }


def wait_for(condition, seconds=120):
    """Waits until a condition has a value that counts as true, and returns it."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.1)
    return value


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The workdir of a sweep that ran undisturbed, and its outcome."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, run(workdir)


def test_a_trial_that_diverges_is_a_result_and_stops_no_other(whole):
    workdir, (code, out, err) = whole
    assert code == 1, err
    table, report = out.split("\n\n", 1)
    states = {line.split()[0]: line.split()[1] for line in table.splitlines()[1:]}
    assert states == {
        "narrow": "finished",
        "diverging": "diverged",
        "again": "finished",
    }
    assert "error: 2 steps in a row came to no finite loss" in table
    assert "2 of 3 trials finished, 1 diverged" in report
    assert results(workdir)["diverging"]["status"] == "diverged"


def test_results_say_what_they_are_of(whole):
    workdir, _ = whole
    narrow, again = (
        json.loads((workdir / name / "result.json").read_text())
        for name in ("narrow", "again")
    )
    assert narrow["seed"] != again["seed"]
    assert narrow["config_hash"] != again["config_hash"]
    assert narrow["device_count"] == 1
    assert narrow["device_hours"] == pytest.approx(narrow["seconds"] / 3600)
    assert 0 < narrow["compile_seconds"] < narrow["seconds"]
    assert narrow["xla_flops"] > 8 * 2 * narrow["multiply_adds"]
    assert "jax" in narrow["versions"]
    # The last shares the program of the first: there is but one place to look for it.
    assert (workdir / "compilation_cache").is_dir()


def test_the_same_command_again_starts_nothing(whole):
    workdir, (code, out, _) = whole
    before = {path: path.read_text() for path in workdir.glob("*/attempt.json")}
    start_time = time.monotonic()
    again, table, _ = run(workdir)
    assert (again, table) == (code, out)
    assert time.monotonic() - start_time < 60
    assert before == {p: p.read_text() for p in workdir.glob("*/attempt.json")}


def test_another_sweep_s_workdir_is_refused(whole):
    workdir, _ = whole
    code, _, err = run(workdir, config="tests/tiny_sweep.py:6")
    assert code == 2
    (line,) = err.splitlines()
    assert "belongs to another sweep" in line
    assert "narrow" in line


def test_killed_three_times_it_ends_in_the_same_figures(whole, tmp_path):
    def holder():
        return (tmp_path / "narrow").is_dir() and lease.holder(tmp_path / "narrow")

    runner = start(tmp_path, cache=whole[0])
    owner = wait_for(holder)
    runner.kill()
    runner.wait()
    assert lease.holder(tmp_path / "narrow"), "a trial outlives its runner"
    # Another runner leaves it alone, until it dies.
    runner = start(tmp_path, cache=whole[0])
    time.sleep(5)
    assert attempt.read(tmp_path / "narrow")["attempts"] == 1
    os.kill(owner["pid"], signal.SIGKILL)
    wait_for(lambda: attempt.read(tmp_path / "narrow")["attempts"] == 2)
    runner.send_signal(signal.SIGTERM)
    _, err = runner.communicate(timeout=120)
    assert runner.returncode == 42, err
    assert not holder()
    code, _, err = run(tmp_path, cache=whole[0])
    assert (code, results(tmp_path)) == (1, results(whole[0])), err


def test_a_cluster_s_trials_end_in_the_same_figures(whole, tmp_path, monkeypatch):
    if reason := missing():
        pytest.skip(f"no Slurm on this machine ({reason}): apt install slurm-wlm munge")
    with cluster() as config:
        monkeypatch.setenv("SLURM_CONF", str(config))
        code, _, err = run(tmp_path, "--launcher=slurm", cache=whole[0])
    assert (code, results(tmp_path)) == (1, results(whole[0])), err


def test_a_dry_run_says_what_it_would_cost_and_starts_nothing(whole, tmp_path):
    code, out, err = run(tmp_path / "dry", "--dry_run", cache=whole[0])
    assert code == 0, err
    header, *rows, total = out.splitlines()
    assert header.split()[:2] == ["trial", "params"]
    assert [row.split()[0] for row in rows] == ["narrow", "diverging", "again"]
    assert total.startswith("3 trials on 1 x cpu: ")
    assert not (tmp_path / "dry").exists()
