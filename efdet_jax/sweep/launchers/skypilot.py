"""Trials as managed jobs of SkyPilot, on spot machines of whatever cloud has them."""

import json
import math
import re
import shlex
from typing import Any

from efdet_jax.errors import UsageError
from efdet_jax.sweep.launchers import commands, manifests
from efdet_jax.sweep.launchers.manifests import Bucket
from efdet_jax.sweep.launchers.polling import Queue, trials_of
from efdet_jax.sweep.trials import Job

_SETUP = """\
# The machines come with an older Python than we need.
pip install uv
uv venv --allow-existing --python 3.12 ~/efdet
uv pip install --python ~/efdet/bin/python --editable . '{jax}'
"""

_RUN = """\
set -o pipefail
export PATH="$HOME/efdet/bin:$PATH"
{command} 2>&1 | tee --append {log}
"""

_NAME = re.compile("[a-zA-Z0-9]+(?:[._-]{1,2}[a-zA-Z0-9]+)*")


class SkyPilot:
    """Launches each trial with `sky jobs launch`; 42 and preemption start it again.

    A job is named SWEEP.TRIAL. The current folder is sent along and installed.
    """

    slots = math.inf

    def __init__(self, *, sweep: str, bucket: str = ""):
        """Finds the command.

        Args:
          sweep: the first part of the jobs' names.
          bucket: "gs://NAME" or "gs://NAME/FOLDER", mounted at the sweep's workdir on
            this machine and theirs.
        """
        commands.require("sky", "pip install 'efdet-jax[cloud]', then `sky check`")
        self._prefix = f"{sweep}."
        self._bucket = manifests.parse_bucket(bucket)
        self._queue = Queue(self._ask)

    def start(self, job: Job) -> None:
        """Submits a job; its YAML stays in its folder."""
        name = self._prefix + job.name
        path = manifests.write(job, "skypilot.yaml", task(job, name, self._bucket))
        commands.output(
            *("sky", "jobs", "launch", "--yes", "--detach-run"),
            *("--name", name, str(path)),
            remedy="see whether `sky check` finds a cloud that has this accelerator",
        )
        self._queue.add(job.name)

    def alive(self) -> set[str]:
        """Returns the names of this sweep's managed jobs that have not ended."""
        return self._queue.names()

    def stop(self) -> None:
        """Leaves the jobs to SkyPilot; `sky jobs cancel` ends them."""

    def _ask(self) -> set[str]:
        try:
            listing = commands.output(
                *("sky", "jobs", "queue", "--all", "--skip-finished"),
                *("--output", "json"),
                remedy="see whether `sky check` finds a cloud",
            )
        except UsageError as error:
            # What it says before the first job, when its controller does not exist.
            if "No in-progress managed jobs" in str(error):
                return set()
            raise
        return trials_of(self._prefix, job_names(listing))


def task(job: Job, name: str, bucket: Bucket) -> dict[str, Any]:
    """Returns a job as SkyPilot describes it.

    Raises:
      UsageError: SkyPilot does not take this name, or see `manifests.mount_point`.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"trial {job.name!r} makes {name!r}, no name for SkyPilot: end it with a "
            'letter or digit and have at most two of "-", "_", "." in a row'
        )
    log = shlex.quote(str(job.folder / "log.txt"))
    accelerator = accelerator_name(job.resources.accelerator)
    return {
        "name": name,
        "resources": {
            **({"accelerators": accelerator} if accelerator else {}),
            "cpus": f"{job.resources.cpus}+",
            "memory": f"{job.resources.memory_gb}+",
            "use_spot": True,
            "job_recovery": {
                "strategy": "EAGER_NEXT_REGION",
                "recover_on_exit_codes": [42],
            },
        },
        "workdir": ".",
        "file_mounts": {
            str(manifests.mount_point(job)): {
                "source": "gs://" + "/".join(filter(None, bucket)),
                "mode": "MOUNT",
            }
        },
        "setup": _SETUP.format(jax=_jax(accelerator)),
        "run": _RUN.format(command=manifests.command_there(job), log=log),
    }


def accelerator_name(accelerator: str) -> str:
    """Returns SkyPilot's name: "tpu-v5litepod-4" for "v5litepod-4", "A100:1" as is."""
    return f"tpu-{accelerator}" if re.match(r"v\d", accelerator) else accelerator


def _jax(accelerator: str) -> str:
    if not accelerator:
        return "jax"
    return "jax[tpu]" if accelerator.startswith("tpu-") else "jax[cuda12]"


def job_names(listing: str) -> list[str]:
    """Returns the names in the JSON that `sky jobs queue` prints, after its remarks."""
    start = re.search(r"^\[", listing, re.MULTILINE)
    if start is None:
        raise UsageError(
            "sky jobs queue --output json printed no list: install skypilot>=0.12"
        )
    return [row["job_name"] for row in json.loads(listing[start.start() :])]
