"""Several processes on this machine, as if each were a host."""

import json
import re
import signal
import socket
import subprocess
import time

import numpy as np
import pytest
from jobs import ROOT, command, losses, result, rows, run

from efdet_jax.hosts import SECONDS_TO_MISS

FIFTY = (
    "--config.steps=50",
    "--config.batch_size=16",
    "--config.eval.batch_size=16",
    # So slow that rounding does not grow: at 0.02 one curve leaves another by 1%.
    "--config.optimizer.name=sgd",
    "--config.optimizer.learning_rate=0.003",
)
# The kernels of one CPU device round differently; what is compiled fast is the same.
PLAIN = {"EFDET_JAX_KERNELS": "0", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(environment, workdir, *arguments, processes, devices=1):
    """Starts the main job on so many hosts, which see so many devices each."""
    port = free_port()
    seen = {"JAX_NUM_CPU_DEVICES": str(devices)}
    return [
        subprocess.Popen(
            command(
                workdir,
                f"--coordinator=127.0.0.1:{port}",
                f"--num_processes={processes}",
                f"--process_id={i}",
                *arguments,
            ),
            cwd=ROOT,
            env=environment | PLAIN | seen,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(processes)
    ]


def finish(jobs):
    """Returns exit codes, outputs and errors of all."""
    ended = [(*job.communicate(timeout=400), job.returncode) for job in jobs]
    outputs, errors, codes = zip(*ended, strict=True)
    return codes, outputs, errors


def wait_for_steps(jobs, workdir, count):
    log = workdir / "metrics.jsonl"
    while not log.exists() or len(log.read_text().splitlines()) < count:
        assert all(job.poll() is None for job in jobs), finish(jobs)
        time.sleep(0.02)


@pytest.fixture(scope="module")
def alone(environment, tmp_path_factory):
    """The workdir of a run in one process on one device."""
    workdir = tmp_path_factory.mktemp("alone")
    done = run(environment | PLAIN, workdir, *FIFTY)
    assert done.returncode == 0, done.stderr
    return workdir


def check_same(workdir, alone):
    np.testing.assert_allclose(losses(workdir), losses(alone), rtol=1e-5)
    for name in ("AP", "AP50", "AR100"):
        assert result(workdir)[name] == pytest.approx(result(alone)[name], abs=2e-3)
    assert result(workdir)["status"] == "finished"


@pytest.mark.slow(minutes=1.5)
@pytest.mark.parametrize(
    ("processes", "devices", "spatial"),
    [
        (1, 2, 1),
        (1, 4, 2),
        (2, 1, 1),
        (2, 2, 2),
        # Ten minutes on two cores. What four processes come to, the next test shows.
        *(
            pytest.param(*each, marks=pytest.mark.exhaustive)
            for each in (
                (1, 4, 1),
                (2, 4, 1),
                (4, 1, 1),
                (4, 2, 1),
                (4, 4, 2),
            )
        ),
    ],
)
def test_processes_and_devices_do_not_change_the_curve(
    processes, devices, spatial, alone, environment, tmp_path
):
    mesh = f"--config.mesh.spatial={spatial}"
    jobs = start(
        environment, tmp_path, *FIFTY, mesh, processes=processes, devices=devices
    )
    codes, outputs, errors = finish(jobs)
    assert codes == (0,) * processes, errors
    check_same(tmp_path, alone)
    # One of them talks, and writes.
    # Gloo says on stdout whom it is connected to.
    told = ["AP50" in output for output in outputs]
    assert told == [True] + [False] * (processes - 1)
    assert [row["step"] for row in rows(tmp_path) if "loss" in row] == list(
        range(1, 51)
    )
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1


@pytest.mark.slow(minutes=1.5)
def test_four_hosts_then_two_then_one_come_to_the_same(alone, environment, tmp_path):
    jobs = start(environment, tmp_path, *FIFTY, processes=4)
    wait_for_steps(jobs, tmp_path, 10)
    # Whichever is told to stop, all do, at the same step.
    jobs[2].send_signal(signal.SIGTERM)
    codes, _, errors = finish(jobs)
    assert codes == (42,) * 4, errors
    stopped = {re.search(r"stopped at step (\d+)", error)[1] for error in errors}
    assert len(stopped) == 1
    jobs = start(environment, tmp_path, *FIFTY, processes=2)
    wait_for_steps(jobs, tmp_path, int(*stopped) + 10)
    jobs[0].send_signal(signal.SIGINT)
    codes, _, errors = finish(jobs)
    assert codes == (42,) * 2, errors
    done = run(environment | PLAIN, tmp_path, *FIFTY)
    assert done.returncode == 0, done.stderr
    check_same(tmp_path, alone)


@pytest.mark.slow(minutes=1.5)
@pytest.mark.parametrize("victim", [0, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_when_a_host_is_lost_the_other_ends_and_a_restart_goes_on(
    victim, alone, environment, tmp_path
):
    every = "--config.checkpoint.every=5"
    jobs = start(environment, tmp_path, *FIFTY, every, processes=2)
    wait_for_steps(jobs, tmp_path, 12)
    jobs[victim].send_signal(signal.SIGKILL)
    lost = time.monotonic()
    codes, _, errors = finish(jobs)
    assert time.monotonic() - lost < SECONDS_TO_MISS + 15
    assert codes[victim] == -signal.SIGKILL
    assert codes[1 - victim] != 0
    said = errors[1 - victim]
    assert (
        "another process of this run has ended" in said or "another task died" in said
    )
    jobs = start(environment, tmp_path, *FIFTY, every, processes=2)
    codes, _, errors = finish(jobs)
    assert codes == (0, 0), errors
    assert "resumed at step " in errors[0]
    check_same(tmp_path, alone)


@pytest.mark.slow(minutes=1.5)
def test_what_the_first_process_refuses_ends_all_with_the_same_line(
    environment, tmp_path
):
    (tmp_path / "lease.json").write_text(
        json.dumps({"host": "elsewhere", "pid": 1, "started": ""})
    )
    jobs = start(environment, tmp_path, processes=2)
    codes, _, errors = finish(jobs)
    assert codes == (2, 2)
    for error in errors:
        assert error.splitlines()[-1].endswith(
            "process 1 on elsewhere: wait for it, or stop it first"
        )


def test_a_coordinator_needs_the_number_of_processes(environment, tmp_path):
    for wrong in ((), ("--num_processes=2",), ("--num_processes=2", "--process_id=2")):
        done = run(environment, tmp_path, "--coordinator=127.0.0.1:1", *wrong)
        assert done.returncode == 2
        assert "--num_processes, and --process_id from 0" in done.stderr
    assert not list(tmp_path.iterdir())
