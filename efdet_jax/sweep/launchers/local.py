"""Trials as processes of this machine, a few at a time, each with its own devices."""

import functools
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from efdet_jax.errors import UsageError
from efdet_jax.sweep.trials import Job

DEVICES = {"CUDA_VISIBLE_DEVICES": "nvidia[0-9]*", "TPU_VISIBLE_CHIPS": "accel[0-9]*"}
"""The variable that pins devices of a kind, and their files in /dev."""


class Local:
    """Runs `slots` jobs at a time and shares accelerators or cores out among them."""

    def __init__(self, *, sweep: str, slots: str = "1"):
        del sweep  # Processes need no name.
        if not slots.isdigit() or int(slots) < 1:
            raise UsageError(
                f"--launcher_options=slots={slots} is no number of processes: use 1 or "
                "more"
            )
        self.slots: float = int(slots)
        self._running: dict[int, tuple[str, subprocess.Popen[bytes]]] = {}

    def start(self, job: Job) -> None:
        """Starts a job in a free slot."""
        slot = min(set(range(int(self.slots))) - self._running.keys())
        cores = share(sorted(os.sched_getaffinity(0)), slot, int(self.slots))
        with (job.folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                job.command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | pinned(os.environ, slot, int(self.slots)),
                # So that Ctrl-C reaches it through `stop` alone.
                start_new_session=True,
                preexec_fn=functools.partial(os.sched_setaffinity, 0, cores),
            )
        self._running[slot] = job.name, process

    def alive(self) -> set[str]:
        """Returns the names of jobs whose process has not ended."""
        self._running = {
            slot: (name, process)
            for slot, (name, process) in self._running.items()
            if process.poll() is None
        }
        return {name for name, _ in self._running.values()}

    def stop(self) -> None:
        """Lets all jobs write a checkpoint and end."""
        for _, process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for _, process in self._running.values():
            process.wait()


def share(items: Sequence[int], slot: int, slots: int) -> list[int]:
    """Returns a slot's items, as evenly as can be; where there are too few, one."""
    if len(items) < slots:
        return [items[slot % len(items)]]
    return list(items[len(items) * slot // slots : len(items) * (slot + 1) // slots])


def pinned(environment: Mapping[str, str], slot: int, slots: int) -> dict[str, str]:
    """Returns the variables that give a slot its share of the accelerators.

    Args:
      environment: what is visible to this process, if it says so itself.
      slot: of the job.
      slots: how many there are.
    """
    variables = {}
    for variable, files in DEVICES.items():
        if variable in environment:
            visible = [int(x) for x in environment[variable].split(",") if x.isdigit()]
        else:
            visible = list(range(len(list(Path("/dev").glob(files)))))
        if visible:
            variables[variable] = ",".join(map(str, share(visible, slot, slots)))
    return variables
