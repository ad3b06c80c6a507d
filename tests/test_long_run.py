"""Thirty times training, evaluation and checkpoint: nothing piles up in the process."""

import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
from jobs import ROOT, command

CYCLES = 36
AT_FIRST = 6
"""Cycles after which all that is made once is made."""


def of_process(pid):
    """Memory in MB, threads and open files, as the system counts them."""
    folder = pathlib.Path(f"/proc/{pid}")
    fields = dict(
        line.split(":", 1) for line in (folder / "status").read_text().splitlines()
    )
    memory = int(fields["VmRSS"].split()[0]) / 1e3
    return memory, int(fields["Threads"]), len(list((folder / "fd").iterdir()))


def num_evaluations(log):
    return log.read_text().count('"AP50"') if log.exists() else 0


@pytest.mark.slow(minutes=1.5)
def test_memory_threads_and_files_stay_as_many(environment, tmp_path):
    flags = {
        "steps": 2 * CYCLES,
        "eval.every": 2,
        "checkpoint.every": 2,
        "eval.pictures": 1,
        "data.shapes.num_val": 8,
        "data.num_threads": 2,
    }
    job = subprocess.Popen(
        command(tmp_path, *(f"--config.{key}={value}" for key, value in flags.items())),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen = {}
    while job.poll() is None:
        count = num_evaluations(tmp_path / "metrics.jsonl")
        if AT_FIRST <= count < CYCLES:
            seen.setdefault(count, []).append(of_process(job.pid))
        time.sleep(0.01)
    assert job.returncode == 0, job.stderr.read()
    # The least of each cycle: a checkpoint in work has files open and memory taken.
    cycles = np.array([np.min(counts, axis=0) for _, counts in sorted(seen.items())])
    assert len(cycles) > 25
    third = len(cycles) // 3
    early, late = cycles[:third].max(axis=0), cycles[-third:].max(axis=0)
    sys.stdout.write(f"MB, threads, files: {early} early, {late} late\n")
    assert late[0] < early[0] + 20
    # A pool starts its last threads when it first has work for all of them. One that
    # stayed behind in each cycle, or in every other, would be more than this.
    assert late[1] <= early[1] + 3
    assert late[2] <= early[2]
