"""Trials as JobSets of a Kubernetes cluster on Google Cloud, queued by Kueue."""

import hashlib
import json
import math
import re
import shlex
from typing import Any, NamedTuple

from efdet_jax.errors import UsageError
from efdet_jax.sweep.launchers import commands, forwarding, manifests
from efdet_jax.sweep.launchers.manifests import Bucket
from efdet_jax.sweep.launchers.polling import Queue
from efdet_jax.sweep.trials import Job

SECONDS_TO_STOP = 120
"""Between SIGTERM and SIGKILL, in which a step and its checkpoint must fit."""

SWEEP_LABEL = "efdet-jax/sweep"
TRIAL_ANNOTATION = "efdet-jax/trial"

_PRINT_THE_REST = """\
exec >&- 2>&-
for _ in 1 2 3 4 5; do kill -0 "$printer" 2>/dev/null && sleep 1; done
"""


class Slice(NamedTuple):
    """What the nodes of a TPU slice are known by."""

    accelerator: str
    topology: str
    chips: int


SLICES = {
    "v5litepod-1": Slice("tpu-v5-lite-podslice", "1x1", 1),
    "v5litepod-4": Slice("tpu-v5-lite-podslice", "2x2", 4),
    "v5litepod-8": Slice("tpu-v5-lite-podslice", "2x4", 8),
    "v6e-1": Slice("tpu-v6e-slice", "1x1", 1),
    "v6e-4": Slice("tpu-v6e-slice", "2x2", 4),
    "v6e-8": Slice("tpu-v6e-slice", "2x4", 8),
    # Counted in cores, two to a chip.
    "v5p-8": Slice("tpu-v5p-slice", "2x2x1", 4),
}
"""Those of one machine, by the name that the TPU API has for them.

Source: cloud.google.com/kubernetes-engine/docs/concepts/plan-tpus.
"""


class Setting(NamedTuple):
    """What all JobSets of a sweep share."""

    sweep: str
    image: str
    bucket: Bucket
    queue: str
    service_account: str


class GKE:
    """Applies a JobSet for each trial; 42 and preemption start it again."""

    slots = math.inf

    def __init__(
        self,
        *,
        sweep: str,
        image: str = "",
        bucket: str = "",
        queue: str = "",
        namespace: str = "",
        service_account: str = "",
    ):
        """Finds the command.

        Args:
          sweep: the label of the JobSets.
          image: a container with bash, Python and this package.
          bucket: "gs://NAME" or "gs://NAME/FOLDER", mounted at the sweep's workdir on
            this machine and in the containers.
          queue: of Kueue; "" starts at once.
          namespace: "" is that of kubectl's context.
          service_account: of Kubernetes, that may write the bucket; "" is the default.
        """
        commands.require("kubectl", "install it and get the cluster's credentials")
        if not image:
            raise UsageError(
                "--launcher_options=image=… is missing: name a container image with "
                "this package"
            )
        sweep = _rfc1123(sweep)
        self._setting = Setting(
            sweep, image, manifests.parse_bucket(bucket), queue, service_account
        )
        namespaced = [f"--namespace={namespace}"] if namespace else []
        self._kubectl = ("kubectl", *namespaced)
        self._queue = Queue(self._ask)

    def start(self, job: Job) -> None:
        """Applies a job's JobSet, in place of one that has ended."""
        content = jobset(job, self._setting)
        path = manifests.write(job, "jobset.yaml", content)
        name = content["metadata"]["name"]
        # A JobSet that has ended would stay as it is.
        self._do("delete", "jobset", name, "--ignore-not-found")
        self._do("apply", f"--filename={path}")
        self._queue.add(job.name)

    def alive(self) -> set[str]:
        """Returns the names of this sweep's jobs whose JobSet has not ended."""
        return self._queue.names()

    def stop(self) -> None:
        """Leaves the jobs to the cluster; `kubectl delete jobset` ends them."""

    def _ask(self) -> set[str]:
        label = f"--selector={SWEEP_LABEL}={self._setting.sweep}"
        listing = self._do("get", "jobsets", label, "--output=json")
        return {
            item["metadata"]["annotations"][TRIAL_ANNOTATION]
            for item in json.loads(listing)["items"]
            if not has_ended(item)
        }

    def _do(self, *arguments: str) -> str:
        return commands.output(
            *self._kubectl,
            *arguments,
            remedy="see whether kubectl's cluster is the one meant and has JobSet",
        )


def has_ended(item: dict[str, Any]) -> bool:
    """Returns whether a JobSet, as the cluster has it, will not run again."""
    return any(
        condition["type"] in ("Completed", "Failed") and condition["status"] == "True"
        for condition in item.get("status", {}).get("conditions", ())
    )


def jobset(job: Job, setting: Setting) -> dict[str, Any]:
    """Returns a job as JobSet v1alpha2 describes it.

    Raises:
      UsageError: the accelerator is not in `SLICES`, or see `manifests.mount_point`.
    """
    queued = {"kueue.x-k8s.io/queue-name": setting.queue} if setting.queue else {}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {
            "name": object_name(setting.sweep, job.name),
            "labels": {SWEEP_LABEL: setting.sweep, **queued},
            "annotations": {TRIAL_ANNOTATION: job.name},
        },
        "spec": {
            "failurePolicy": {
                "rules": [
                    {
                        "name": "stopped_at_a_checkpoint",
                        "action": "RestartJobSetAndIgnoreMaxRestarts",
                        "onJobFailureReasons": ["PodFailurePolicy", "DeadlineExceeded"],
                    },
                    {"name": "ended", "action": "FailJobSet"},
                ]
            },
            "replicatedJobs": [
                {
                    "name": "trial",
                    "replicas": 1,
                    "template": {"spec": _job_spec(job, setting)},
                }
            ],
        },
    }


def _job_spec(job: Job, setting: Setting) -> dict[str, Any]:
    return {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": 0,
        "activeDeadlineSeconds": math.ceil(job.resources.hours * 3600),
        # Kubernetes gives a reason of its own to what these rules fail, by which the
        # JobSet's tell it from 1, 2, 3 and whatever else the backoff limit fails.
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "FailJob",
                    "onExitCodes": {
                        "containerName": "trial",
                        "operator": "In",
                        "values": [42],
                    },
                },
                {
                    "action": "FailJob",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
            ]
        },
        "template": {
            "metadata": {"annotations": {"gke-gcsfuse/volumes": "true"}},
            "spec": _pod_spec(job, setting),
        },
    }


def _pod_spec(job: Job, setting: Setting) -> dict[str, Any]:
    node, chips = _slice(job.resources.accelerator)
    account = setting.service_account
    only = f",only-dir={setting.bucket.folder}" if setting.bucket.folder else ""
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": SECONDS_TO_STOP,
        **({"serviceAccountName": account} if account else {}),
        **({"nodeSelector": node} if node else {}),
        "containers": [
            {
                "name": "trial",
                "image": setting.image,
                "command": ["bash", "-c", _script(job)],
                "resources": {
                    "requests": {
                        "cpu": str(job.resources.cpus),
                        "memory": f"{job.resources.memory_gb}Gi",
                        **chips,
                    },
                    **({"limits": chips} if chips else {}),
                },
                "volumeMounts": [
                    {"name": "sweep", "mountPath": str(manifests.mount_point(job))}
                ],
            }
        ],
        "volumes": [
            {
                "name": "sweep",
                "csi": {
                    "driver": "gcsfuse.csi.storage.gke.io",
                    "volumeAttributes": {
                        "bucketName": setting.bucket.name,
                        "mountOptions": f"implicit-dirs{only}",
                    },
                },
            }
        ],
    }


def _script(job: Job) -> str:
    # What it prints goes to its folder and to the cluster's log.
    log = shlex.quote(str(job.folder / "log.txt"))
    command = manifests.command_there(job)
    body = forwarding.script(command, signal="TERM", before_exit=_PRINT_THE_REST)
    return f"exec > >(exec tee --append {log}) 2>&1\nprinter=$!\n{body}"


def _slice(accelerator: str) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the labels of nodes that have an accelerator, and its chips."""
    if not accelerator:
        return {}, {}
    if accelerator not in SLICES:
        raise UsageError(
            f"accelerator {accelerator!r} is no TPU slice of one machine: use one of "
            + ", ".join(SLICES)
        )
    found = SLICES[accelerator]
    node = {
        "cloud.google.com/gke-tpu-accelerator": found.accelerator,
        "cloud.google.com/gke-tpu-topology": found.topology,
    }
    return node, {"google.com/tpu": str(found.chips)}


def object_name(sweep: str, trial: str) -> str:
    """Returns the name of a trial's JobSet, which no other trial has.

    It says both as far as Kubernetes lets it, and ends with a digest of them. At most
    45 characters: what the JobSet's pods are called, its name and "-trial-0-0-abcde",
    must not be longer than 63.
    """
    digest = hashlib.sha256(f"{sweep}/{trial}".encode()).hexdigest()[:8]
    return f"{_rfc1123(f'efdet-{sweep}-{trial}')[:36].rstrip('-')}-{digest}"


def _rfc1123(text: str) -> str:
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")[:63]
