"""Trials as JobSets: their fields, their names, and the shell around the command."""

import json
import re
import signal
import subprocess
import sys
import time

import jobset_schema
import pytest
import yaml
from fake_command import FakeCommand

from efdet_jax.errors import UsageError
from efdet_jax.sweep.launchers import gke
from efdet_jax.sweep.launchers.manifests import Bucket
from efdet_jax.sweep.trials import Job, Resources

SETTING = gke.Setting("phi", "image:1", Bucket("sweeps", "phi"), "tpus", "trainer")

PROGRAM = """
import signal, sys, time
def end(number, frame):
    signal.signal(number, signal.SIG_DFL)
    time.sleep(0.5)
    print("wrote a checkpoint", flush=True)
    sys.exit(42)
signal.signal(signal.SIGTERM, end)
print("begun", flush=True)
time.sleep(60)
"""


def job(folder, accelerator="v6e-4", command=(sys.executable, "-m", "efdet_jax.main")):
    (folder / "d0").mkdir()
    resources = Resources(accelerator=accelerator, cpus=8, memory_gb=32, hours=2)
    return Job("d0", command, folder / "d0", resources)


def job_spec(jobset):
    return jobset["spec"]["replicatedJobs"][0]["template"]["spec"]


def pod_spec(jobset):
    return job_spec(jobset)["template"]["spec"]


@pytest.mark.parametrize("accelerator", ["", *gke.SLICES])
def test_fields_are_those_of_the_api(tmp_path, accelerator):
    jobset = gke.jobset(job(tmp_path, accelerator), SETTING)
    jobset_schema.check(jobset, jobset_schema.JOBSET)


def test_what_stops_at_a_checkpoint_restarts_and_what_fails_does_not(tmp_path):
    jobset = gke.jobset(job(tmp_path), SETTING)
    policy = job_spec(jobset)["podFailurePolicy"]["rules"]
    assert job_spec(jobset)["backoffLimit"] == 0
    # As the Job controller does it: these fail the Job as PodFailurePolicy, any other
    # exit code as BackoffLimitExceeded.
    assert policy[0]["onExitCodes"] == {
        "containerName": pod_spec(jobset)["containers"][0]["name"],
        "operator": "In",
        "values": [42],
    }
    assert policy[1]["onPodConditions"][0]["type"] == "DisruptionTarget"
    actions = {
        reason: _action(jobset["spec"]["failurePolicy"]["rules"], reason)
        for reason in ("PodFailurePolicy", "DeadlineExceeded", "BackoffLimitExceeded")
    }
    assert actions == {
        "PodFailurePolicy": "RestartJobSetAndIgnoreMaxRestarts",
        "DeadlineExceeded": "RestartJobSetAndIgnoreMaxRestarts",
        "BackoffLimitExceeded": "FailJobSet",
    }


def _action(rules, reason):
    """The first rule that matches, as the JobSet controller has it."""
    return next(
        rule["action"]
        for rule in rules
        if reason in rule.get("onJobFailureReasons", [reason])
    )


def test_a_trial_is_given_a_slice_of_its_kind(tmp_path):
    pod = pod_spec(gke.jobset(job(tmp_path), SETTING))
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice",
        "cloud.google.com/gke-tpu-topology": "2x2",
    }
    assert pod["containers"][0]["resources"] == {
        "requests": {"cpu": "8", "memory": "32Gi", "google.com/tpu": "4"},
        "limits": {"google.com/tpu": "4"},
    }
    assert pod["terminationGracePeriodSeconds"] == 120


@pytest.mark.parametrize("accelerator", gke.SLICES)
def test_a_topology_has_as_many_chips_as_are_asked_for(accelerator):
    found = gke.SLICES[accelerator]
    chips = 1
    for side in found.topology.split("x"):
        chips *= int(side)
    assert chips == found.chips
    cores = 2 if accelerator.startswith("v5p") else 1
    assert chips * cores == int(accelerator.rpartition("-")[2])


def test_the_queue_and_the_bucket_are_those_of_the_options(tmp_path):
    jobset = gke.jobset(job(tmp_path), SETTING)
    assert jobset["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "tpus"
    pod = pod_spec(jobset)
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert mount["mountPath"] == str(tmp_path)
    assert pod["volumes"][0]["csi"]["volumeAttributes"] == {
        "bucketName": "sweeps",
        "mountOptions": "implicit-dirs,only-dir=phi",
    }


def test_a_slice_of_several_machines_is_refused(tmp_path):
    with pytest.raises(UsageError, match="'v6e-16' is no TPU slice of one machine"):
        gke.jobset(job(tmp_path, "v6e-16"), SETTING)


def test_names_are_those_that_kubernetes_takes_and_no_two_are_the_same():
    trials = ["d0", "D0", "d-0", "d.0", "d_0", "d0-", "x" * 200, "x" * 201, "0.5_a"]
    pairs = [
        (sweep, trial) for sweep in ("phi", "p", "Single_Axis") for trial in trials
    ]
    names = [gke.object_name(sweep, trial) for sweep, trial in pairs]
    assert len(set(names)) == len(pairs)
    for name in names:
        # RFC 1035, for the longest name that JobSet makes of it.
        assert re.fullmatch(
            "[a-z]([-a-z0-9]{0,61}[a-z0-9])?", f"{name}-trial-0-0-abcde"
        )


def test_told_to_end_the_container_lets_the_command_write_a_checkpoint(tmp_path):
    trial = job(tmp_path, command=(sys.executable, "-c", PROGRAM))
    command = pod_spec(gke.jobset(trial, SETTING))["containers"][0]["command"]
    container = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert container.stdout.readline() == "begun\n"
    time.sleep(0.2)
    # As Kubernetes does it, to the first process alone.
    container.send_signal(signal.SIGTERM)
    printed, _ = container.communicate(timeout=20)
    assert container.returncode == 42
    assert printed == "wrote a checkpoint\n"
    assert (trial.folder / "log.txt").read_text() == "begun\nwrote a checkpoint\n"


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_the_container_ends_with_the_code_of_the_command(tmp_path, code):
    trial = job(tmp_path, command=("bash", "-c", f"echo last; exit {code}"))
    command = pod_spec(gke.jobset(trial, SETTING))["containers"][0]["command"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (code, "last\n")


def launcher():
    return gke.GKE(
        sweep="phi", image="image:1", bucket="gs://sweeps/phi", namespace="lab"
    )


def test_a_job_is_applied_in_place_of_one_that_has_ended(tmp_path, monkeypatch):
    kubectl = FakeCommand("kubectl", tmp_path, monkeypatch)
    trial = job(tmp_path)
    launcher().start(trial)
    path = trial.folder / "jobset.yaml"
    name = gke.object_name("phi", "d0")
    assert kubectl.calls() == [
        ["--namespace=lab", "delete", "jobset", name, "--ignore-not-found"],
        ["--namespace=lab", "apply", f"--filename={path}"],
    ]
    assert yaml.safe_load(path.read_text())["metadata"]["name"] == name


def test_alive_are_the_jobsets_that_have_not_ended(tmp_path, monkeypatch):
    def item(trial, *conditions):
        return {
            "metadata": {"annotations": {"efdet-jax/trial": trial}},
            "status": {
                "conditions": [{"type": t, "status": "True"} for t in conditions]
            },
        }

    waiting = {"metadata": {"annotations": {"efdet-jax/trial": "waiting"}}}
    items = [
        waiting,
        item("Running.1", "StartupPolicyCompleted"),
        item("queued", "Suspended"),
        item("finished", "Completed"),
        item("diverged", "Failed"),
    ]
    answer = json.dumps({"items": items})
    kubectl = FakeCommand("kubectl", tmp_path, monkeypatch, f"print({answer!r})")
    assert launcher().alive() == {"waiting", "Running.1", "queued"}
    assert kubectl.calls() == [
        [
            *("--namespace=lab", "get", "jobsets"),
            *("--selector=efdet-jax/sweep=phi", "--output=json"),
        ]
    ]


def test_what_the_cluster_refuses_is_one_line(tmp_path, monkeypatch):
    answer = 'error: no matches for kind "JobSet" in version "jobset.x-k8s.io/v1alpha2"'
    FakeCommand("kubectl", tmp_path, monkeypatch, f"sys.exit({answer!r})")
    with pytest.raises(UsageError, match='no matches for kind "JobSet"') as caught:
        launcher().start(job(tmp_path))
    assert "\n" not in str(caught.value)


def test_an_image_is_asked_for_before_anything_starts(tmp_path, monkeypatch):
    FakeCommand("kubectl", tmp_path, monkeypatch)
    with pytest.raises(UsageError, match="image=… is missing"):
        gke.GKE(sweep="phi", bucket="gs://sweeps")
