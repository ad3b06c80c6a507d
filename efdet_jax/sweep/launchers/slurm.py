"""Trials as jobs of a Slurm cluster whose machines share the sweep's folder."""

import math
import shlex
from pathlib import Path

from efdet_jax.errors import UsageError
from efdet_jax.sweep.launchers import commands, forwarding
from efdet_jax.sweep.launchers.polling import Queue, trials_of
from efdet_jax.sweep.trials import Job

SECONDS_TO_STOP = 120
"""Before the time limit, in which a step and its checkpoint must fit."""

_PROLOGUE = """\
# Slurm sends SIGTERM to all processes of a job that it requeues, preempts or cancels:
# the command has it already. The warning before the time limit comes to this shell.
trap : TERM
"""

_REQUEUE = """\
# One that is being cancelled or requeued is no longer running.
if [ "$code" = 42 ] &&
    [ "$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T)" = RUNNING ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
"""


class Slurm:
    """Submits each trial with `sbatch`; one that exits with 42 requeues itself.

    A job is named SWEEP.TRIAL.
    """

    slots = math.inf

    def __init__(
        self,
        *,
        sweep: str,
        partition: str = "",
        account: str = "",
        qos: str = "",
        constraint: str = "",
        gres: str = "",
    ):
        """Finds the cluster.

        Args:
          sweep: the first part of the jobs' names.
          partition: as of `sbatch`, like the rest; "" is the cluster's default.
          account: who pays.
          qos: quality of service.
          constraint: features of the node.
          gres: generic resources; "" is what the trial's accelerator says.
        """
        for command in ("sbatch", "squeue"):
            commands.require(command, "run the sweep where Slurm's jobs are submitted")
        self._prefix = f"{sweep}."
        self._options = {
            "partition": partition,
            "account": account,
            "qos": qos,
            "constraint": constraint,
            "gres": gres,
        }
        self._queue = Queue(self._ask)

    def start(self, job: Job) -> None:
        """Submits a job; its script stays in its folder."""
        path = job.folder / "slurm.sh"
        path.write_text(script(job, self._prefix + job.name, self._options))
        commands.output(
            *("sbatch", str(path)),
            remedy="mend --launcher_options or the trial's resources",
        )
        self._queue.add(job.name)

    def alive(self) -> set[str]:
        """Returns the names of this sweep's jobs in this user's queue."""
        return self._queue.names()

    def stop(self) -> None:
        """Leaves the jobs to Slurm; `scancel` ends them."""

    def _ask(self) -> set[str]:
        names = commands.output(
            *("squeue", "--me", "--noheader", "--format=%j"),
            remedy="see whether the cluster is up (`sinfo`)",
        )
        return trials_of(self._prefix, names.split())


def script(job: Job, name: str, options: dict[str, str]) -> str:
    """Returns a job's batch script.

    Args:
      job: what to run.
      name: in the queue.
      options: of `sbatch`; those that are "" are left out.

    Raises:
      UsageError: the accelerator is none that Slurm has.
    """
    needs = {
        "cpus-per-task": job.resources.cpus,
        "mem": f"{job.resources.memory_gb}G",
        "time": math.ceil(job.resources.hours * 60),
        "gres": options["gres"] or generic_resource(job.resources.accelerator),
    }
    ours = {
        "job-name": name,
        "chdir": Path.cwd(),
        "output": (job.folder / "log.txt").absolute(),
        "open-mode": "append",
        "requeue": None,
        "signal": f"B:USR1@{SECONDS_TO_STOP}",
    }
    lines = [
        f"#SBATCH --{key}" + ("" if value is None else f"={shlex.quote(str(value))}")
        for key, value in (options | needs | ours).items()
        if value != ""
    ]
    body = forwarding.script(
        shlex.join(job.command), signal="USR1", before_exit=_REQUEUE
    )
    return "\n".join(["#!/bin/bash", *lines, _PROLOGUE + body])


def generic_resource(accelerator: str) -> str:
    """Returns "gpu:a100:1" for "A100:1", and "gpu:1" and "" as they are.

    Raises:
      UsageError: it is no name and number.
    """
    if not accelerator:
        return ""
    kind, _, count = accelerator.lower().rpartition(":")
    if not kind or not count.isdigit():
        raise UsageError(
            f"accelerator {accelerator!r} is none of Slurm's: give the trial "
            '"gpu:1" or "A100:1", or say --launcher_options=gres=…'
        )
    return f"{kind}:{count}" if kind.startswith("gpu") else f"gpu:{kind}:{count}"
