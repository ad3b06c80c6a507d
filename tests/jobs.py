"""The main job on `tiny.py`, started as a person does, and what it writes."""

import json
import os
import pathlib
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def command(workdir, *arguments):
    job = [sys.executable, "-m", "efdet_jax.main", "--config=tests/tiny.py"]
    return [*job, f"--workdir={workdir}", *arguments]


def run(environment, workdir, *arguments, devices=1):
    return subprocess.run(
        command(workdir, *arguments),
        cwd=ROOT,
        env=environment | {"JAX_NUM_CPU_DEVICES": str(devices)},
        capture_output=True,
        text=True,
        check=False,
    )


def environment_with_cache(folder):
    """Lets equal programs of several processes be compiled once."""
    return os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1",
    }


def let_another_hold(folder):
    """Writes the lease of a folder as if the parent process, which lives, had it."""
    pid = os.getppid()
    started = (
        pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    )
    owner = {"host": socket.gethostname(), "pid": pid, "started": started}
    (folder / "lease.json").write_text(json.dumps(owner))
    return pid


def rows(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def losses(workdir):
    return [row["loss"] for row in rows(workdir) if "loss" in row]


def result(workdir):
    return json.loads((workdir / "result.json").read_text())
