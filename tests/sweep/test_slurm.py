"""Trials on a real Slurm: what is run again, what is not, and what is told to end."""

import subprocess
import sys
import time

import pytest
from slurm_cluster import cluster, missing

from efdet_jax.errors import UsageError
from efdet_jax.sweep.launchers import polling, slurm
from efdet_jax.sweep.trials import Job, Resources

RESOURCES = Resources(cpus=1, memory_gb=1, hours=1)

# Ends with the code that its arguments have for this attempt; told to end, with 42.
PROGRAM = """
import pathlib, signal, sys, time
folder, codes = pathlib.Path(sys.argv[1]), sys.argv[2:]
with (folder / "attempts").open("a") as file: file.write("begun\\n")
attempt = len((folder / "attempts").read_text().split())
def end(number, frame):
    print("told to end", flush=True)
    signal.signal(number, signal.SIG_DFL)
    time.sleep(1)
    print("wrote a checkpoint", flush=True)
    sys.exit(42)
signal.signal(signal.SIGTERM, end)
print("attempt", attempt, flush=True)
code = codes[min(attempt, len(codes)) - 1]
while code == "wait": time.sleep(0.1)
sys.exit(int(code))
"""


@pytest.fixture(scope="module")
def daemons():
    if reason := missing():
        pytest.skip(f"no Slurm on this machine ({reason}): apt install slurm-wlm munge")
    with cluster() as config, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(config))
        patch.setattr(polling, "SECONDS_BETWEEN_QUESTIONS", 0.0)
        yield


@pytest.fixture
def launcher(daemons):
    return slurm.Slurm(sweep="phi")


def job(folder, *codes, name="d0", resources=RESOURCES):
    folder = folder / name
    folder.mkdir()
    command = (sys.executable, "-c", PROGRAM, str(folder), *codes)
    return Job(name, command, folder, resources)


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def log(job):
    path = job.folder / "log.txt"
    return path.read_text() if path.exists() else ""


def slurm_id(name):
    command = ["squeue", "--noheader", f"--name={name}", "--format=%i"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


@pytest.mark.slow
def test_a_job_that_stops_at_a_checkpoint_is_run_until_it_ends(tmp_path, launcher):
    twice = job(tmp_path, "42", "42", "0")
    launcher.start(twice)
    until(lambda: launcher.alive() == set(), seconds=60)
    assert [x for x in log(twice).splitlines() if "attempt" in x] == [
        "attempt 1",
        "attempt 2",
        "attempt 3",
    ]


@pytest.mark.parametrize("code", ["1", "2", "3"])
def test_a_job_that_failed_is_not_run_again(tmp_path, launcher, code):
    failed = job(tmp_path, code, name=f"exit{code}")
    launcher.start(failed)
    until(lambda: launcher.alive() == set())
    assert log(failed).count("attempt") == 1


@pytest.mark.slow
def test_a_preempted_job_is_told_once_and_comes_back(tmp_path, launcher):
    preempted = job(tmp_path, "wait", "0")
    launcher.start(preempted)
    until(lambda: "attempt 1" in log(preempted))
    subprocess.run(["scontrol", "requeue", slurm_id("phi.d0")], check=True)
    until(lambda: "told to end" in log(preempted))
    assert launcher.alive() == {"d0"}
    until(lambda: launcher.alive() == set(), seconds=60)
    assert "attempt 2" in log(preempted)
    assert log(preempted).count("wrote a checkpoint") == 1


@pytest.mark.slow
def test_a_job_near_its_time_limit_stops_and_comes_back(tmp_path, launcher):
    late = job(tmp_path, "wait", "0")
    launcher.start(late)
    until(lambda: "attempt 1" in log(late))
    # What Slurm does by --signal=B:USR1@120, to the batch shell alone.
    subprocess.run(
        ["scancel", "--batch", "--signal=USR1", slurm_id("phi.d0")], check=True
    )
    until(lambda: launcher.alive() == set(), seconds=60)
    assert "attempt 2" in log(late)
    assert log(late).count("wrote a checkpoint") == 1


def test_a_cancelled_job_stops_at_a_checkpoint_and_stays_away(tmp_path, launcher):
    cancelled = job(tmp_path, "wait")
    launcher.start(cancelled)
    until(lambda: "attempt 1" in log(cancelled))
    subprocess.run(["scancel", slurm_id("phi.d0")], check=True)
    until(lambda: launcher.alive() == set())
    assert log(cancelled).count("wrote a checkpoint") == 1


def test_alive_are_the_queued_and_the_running_of_this_sweep_alone(tmp_path, launcher):
    launcher.start(job(tmp_path, "wait", name="running"))
    # As many cores as the node has, so it must wait.
    launcher.start(
        job(tmp_path, "0", name="queued", resources=RESOURCES._replace(cpus=4))
    )
    slurm.Slurm(sweep="necks").start(job(tmp_path, "wait", name="another"))
    assert slurm.Slurm(sweep="phi").alive() == {"running", "queued"}
    subprocess.run(["scancel", slurm_id("phi.running"), slurm_id("necks.another")])
    until(lambda: launcher.alive() == set())


def test_a_partition_that_does_not_exist_is_one_line(tmp_path, daemons):
    with pytest.raises(UsageError, match="invalid partition specified: nowhere") as e:
        slurm.Slurm(sweep="phi", partition="nowhere").start(job(tmp_path, "0"))
    assert "\n" not in str(e.value)
    assert "--launcher_options" in str(e.value)


def test_where_sbatch_is_missing_the_command_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="the command sbatch is not on PATH"):
        slurm.Slurm(sweep="phi")


def test_the_script_asks_for_what_the_trial_needs(tmp_path):
    needs = Resources(accelerator="A100:2", cpus=8, memory_gb=60, hours=0.75)
    options = dict.fromkeys(("partition", "gres"), "") | {"account": "my lab"}
    text = slurm.script(
        job(tmp_path, "0", resources=needs), name="phi.d0", options=options
    )
    asked = [x for x in text.splitlines() if x.startswith("#SBATCH")]
    assert asked[:-3] == [
        "#SBATCH --gres=gpu:a100:2",
        "#SBATCH --account='my lab'",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --mem=60G",
        "#SBATCH --time=45",
        "#SBATCH --job-name=phi.d0",
        f"#SBATCH --chdir={tmp_path.cwd()}",
        f"#SBATCH --output={tmp_path}/d0/log.txt",
    ]
    assert asked[-3:] == [
        "#SBATCH --open-mode=append",
        "#SBATCH --requeue",
        "#SBATCH --signal=B:USR1@120",
    ]


@pytest.mark.parametrize(
    ("accelerator", "resource"),
    [("", ""), ("gpu:1", "gpu:1"), ("gpu:h100:4", "gpu:h100:4"), ("L4:1", "gpu:l4:1")],
)
def test_accelerators_are_generic_resources(accelerator, resource):
    assert slurm.generic_resource(accelerator) == resource


def test_a_tpu_is_refused():
    with pytest.raises(UsageError, match="'v5litepod-4' is none of Slurm's"):
        slurm.generic_resource("v5litepod-4")
