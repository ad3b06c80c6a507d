"""Trials as SkyPilot has them: by its own parser where it is installed, and by hand."""

import json
import pathlib
import sys

import pytest
import yaml
from fake_command import FakeCommand

from efdet_jax.errors import UsageError
from efdet_jax.sweep.launchers import skypilot
from efdet_jax.sweep.launchers.manifests import Bucket
from efdet_jax.sweep.trials import Job, Resources

BUCKET = Bucket("sweeps", "phi")


def job(folder, accelerator="v5litepod-4", name="d0-seed0"):
    (folder / name).mkdir(exist_ok=True)
    command = (sys.executable, "-m", "efdet_jax.main", "--config=experiments/d0.py")
    resources = Resources(accelerator=accelerator, cpus=8, memory_gb=32)
    return Job(name, command, folder / name, resources)


def write(folder, accelerator):
    task = skypilot.task(job(folder, accelerator), "phi.d0-seed0", BUCKET)
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump(task))
    return path


def test_the_yaml_is_what_one_would_write(tmp_path, monkeypatch):
    sky = FakeCommand("sky", tmp_path, monkeypatch)
    launcher = skypilot.SkyPilot(sweep="phi", bucket="gs://sweeps/phi")
    launcher.start(job(tmp_path))
    path, log = tmp_path / "d0-seed0/skypilot.yaml", tmp_path / "d0-seed0/log.txt"
    assert path.read_text() == (
        f"""\
name: phi.d0-seed0
resources:
  accelerators: tpu-v5litepod-4
  cpus: 8+
  memory: 32+
  use_spot: true
  job_recovery:
    strategy: EAGER_NEXT_REGION
    recover_on_exit_codes:
    - 42
workdir: .
file_mounts:
  {tmp_path}:
    source: gs://sweeps/phi
    mode: MOUNT
setup: |
  # The machines come with an older Python than we need.
  pip install uv
  uv venv --allow-existing --python 3.12 ~/efdet
  uv pip install --python ~/efdet/bin/python --editable . 'jax[tpu]'
run: |
  set -o pipefail
  export PATH="$HOME/efdet/bin:$PATH"
  python -m efdet_jax.main --config=experiments/d0.py 2>&1 | tee --append {log}
"""
    )
    assert sky.calls() == [
        [
            *("jobs", "launch", "--yes", "--detach-run"),
            *("--name", "phi.d0-seed0", str(path)),
        ]
    ]


@pytest.mark.parametrize(
    ("accelerator", "name", "count"),
    [
        ("v5litepod-4", "tpu-v5litepod-4", 1),
        ("v6e-8", "tpu-v6e-8", 1),
        ("A100:2", "A100", 2),
    ],
)
def test_skypilot_itself_reads_the_yaml(tmp_path, accelerator, name, count):
    sky = pytest.importorskip(
        "sky", reason="SkyPilot is not installed: pip install 'efdet-jax[cloud]'"
    )
    task = sky.Task.from_yaml(str(write(tmp_path, accelerator)))
    (resources,) = task.resources
    assert resources.accelerators == {name: count}
    assert resources.use_spot
    assert resources.job_recovery["recover_on_exit_codes"] == [42]
    assert resources.job_recovery["strategy"] == "EAGER_NEXT_REGION"
    assert resources.cpus == "8+"
    assert resources.memory == "32+"
    assert task.name == "phi.d0-seed0"
    (storage,) = task.storage_mounts.values()
    assert storage.source == "gs://sweeps/phi"


def test_a_trial_without_accelerator_asks_for_none(tmp_path):
    task = skypilot.task(job(tmp_path, ""), "phi.d0", BUCKET)
    assert "accelerators" not in task["resources"]
    assert task["setup"].endswith("--editable . 'jax'\n")


def test_alive_are_the_jobs_of_this_sweep_that_skypilot_still_has(
    tmp_path, monkeypatch
):
    rows = [{"job_name": "phi.d0"}, {"job_name": "necks.d0"}, {"job_name": "phi.d1"}]
    answer = f"Using the API server.\n{json.dumps(rows)}"
    sky = FakeCommand("sky", tmp_path, monkeypatch, f"print({answer!r})")
    launcher = skypilot.SkyPilot(sweep="phi", bucket="gs://sweeps")
    assert launcher.alive() == {"d0", "d1"}
    assert sky.calls() == [
        ["jobs", "queue", "--all", "--skip-finished", "--output", "json"]
    ]


def test_before_the_first_job_nothing_is_alive(tmp_path, monkeypatch):
    answer = "sky.exceptions.ClusterNotUpError: No in-progress managed jobs."
    FakeCommand("sky", tmp_path, monkeypatch, f"sys.exit({answer!r})")
    assert skypilot.SkyPilot(sweep="phi", bucket="gs://sweeps").alive() == set()


def test_what_skypilot_refuses_is_one_line(tmp_path, monkeypatch):
    answer = "Traceback\n  many lines\nValueError: no cloud is enabled"
    FakeCommand("sky", tmp_path, monkeypatch, f"sys.exit({answer!r})")
    launcher = skypilot.SkyPilot(sweep="phi", bucket="gs://sweeps")
    with pytest.raises(UsageError, match="no cloud is enabled") as caught:
        launcher.alive()
    assert "\n" not in str(caught.value)


def test_a_name_that_skypilot_would_refuse_is_refused_with_the_trial(tmp_path):
    with pytest.raises(UsageError, match="trial 'd0---a'"):
        skypilot.task(job(tmp_path, name="d0---a"), "phi.d0---a", BUCKET)


def test_a_relative_workdir_is_refused():
    relative = Job("d0", ("python",), pathlib.Path("runs/d0"), Resources())
    with pytest.raises(UsageError, match="--workdir=runs is relative"):
        skypilot.task(relative, "phi.d0", BUCKET)


def test_a_missing_bucket_is_refused_before_anything_starts(tmp_path, monkeypatch):
    FakeCommand("sky", tmp_path, monkeypatch)
    with pytest.raises(UsageError, match="bucket=gs://NAME"):
        skypilot.SkyPilot(sweep="phi")


def test_where_sky_is_missing_the_remedy_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match=r"sky is not on PATH: pip install"):
        skypilot.SkyPilot(sweep="phi", bucket="gs://sweeps")
