"""`scripts/tpu_vm.sh` with a gcloud that plays what a spot TPU goes through."""

import os
import pathlib
import signal
import subprocess
import time

import pytest
from fake_command import FakeCommand

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "tpu_vm.sh"

# The resource's states come from one list, a look each, and the codes with which the
# command ends from another. What exists is a file.
GCLOUD = """
import time
exists, action = folder / "exists", sys.argv[4]

def pop(name, default):
    path = folder / name
    values = path.read_text().split()
    path.write_text(" ".join(values[1:]))
    return values[0] if values else default

if action == "describe":
    if not exists.exists():
        sys.exit("NOT_FOUND")
    print(pop("states", "ACTIVE"))
elif action == "create":
    if (folder / "states").read_text() == "REFUSED":
        sys.exit("ERROR: (gcloud) quota exceeded")
    exists.touch()
elif action == "delete":
    exists.unlink()
elif action == "ssh" and "efdet.lock" in sys.argv[-1]:
    code = pop("codes", "0")
    if code == "wait":
        time.sleep(60)
    sys.exit(int(code))
elif action == "ssh":
    sys.exit(int(pop("installs", "0")))
"""


class Cloud:
    """A fake gcloud and the script's processes."""

    def __init__(self, folder, monkeypatch):
        self._folder = folder
        self._gcloud = FakeCommand("gcloud", folder, monkeypatch, GCLOUD)
        self.plays()

    def plays(self, states="", codes="", installs=""):
        """Says what comes, in order; then ACTIVE and 0."""
        for name, values in (
            ("states", states),
            ("codes", codes),
            ("installs", installs),
        ):
            (self._folder / name).write_text(values)

    def start(self, *arguments, **settings):
        return subprocess.Popen(
            [SCRIPT, *arguments],
            env={**os.environ, "SECONDS_BETWEEN_LOOKS": "0.05", **settings},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command, **settings):
        process = self.start("d0", "us-central1-a", "v5litepod-4", *command, **settings)
        _, said = process.communicate(timeout=60)
        return process.returncode, said

    def actions(self):
        """Returns what was done, without looks."""
        return [x[3] for x in self._gcloud.calls() if x[3] != "describe"]

    def calls(self, action):
        return [x for x in self._gcloud.calls() if x[3] == action]

    def has_left(self):
        return (self._folder / "exists").exists()


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    return Cloud(tmp_path, monkeypatch)


SET_UP = ["create", "scp", "ssh"]


def test_a_preempted_tpu_is_replaced_and_deleted_at_the_end(cloud):
    cloud.plays(
        states="WAITING_FOR_RESOURCES PROVISIONING ACTIVE ACTIVE SUSPENDING SUSPENDED "
        "WAITING_FOR_RESOURCES ACTIVE ACTIVE",
        codes="255 0",
    )
    assert cloud.run("train") == (0, "")
    assert cloud.actions() == [*SET_UP, "ssh", "delete", *SET_UP, "ssh", "delete"]
    assert not cloud.has_left()


def test_42_runs_the_same_command_again_on_the_same_tpu(cloud):
    cloud.plays(codes="42 42 0")
    assert cloud.run("train") == (0, "")
    assert cloud.actions() == [*SET_UP, "ssh", "ssh", "ssh", "delete"]
    first, *others = [x[-1] for x in cloud.calls("ssh") if "lock" in x[-1]]
    assert others == [first, first]


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_what_has_ended_deletes_the_tpu_and_ends_with_its_code(cloud, code):
    cloud.plays(codes=str(code))
    assert cloud.run("train")[0] == code
    assert cloud.actions() == [*SET_UP, "ssh", "delete"]


def test_a_crash_on_a_tpu_that_is_still_there_is_not_tried_again(cloud):
    cloud.plays(codes="70")
    assert cloud.run("train")[0] == 70
    assert cloud.actions() == [*SET_UP, "ssh", "delete"]


def test_a_crash_by_preemption_is_tried_again(cloud):
    cloud.plays(states="ACTIVE ACTIVE PREEMPTED PREEMPTED ACTIVE", codes="137 0")
    assert cloud.run("train")[0] == 0
    assert cloud.actions() == [*SET_UP, "ssh", "delete", *SET_UP, "ssh", "delete"]


def test_a_machine_that_is_not_ready_yet_is_asked_again(cloud):
    cloud.plays(installs="255 0")
    assert cloud.run("train")[0] == 0
    assert cloud.actions() == [*SET_UP, "scp", "ssh", "ssh", "delete"]


def test_the_calls_are_those_that_gcloud_has(cloud):
    cloud.run("python", "-m", "efdet_jax.main", "--a=b c", SETUP="mount it")
    place = ["d0", "--zone=us-central1-a"]
    assert cloud.calls("create") == [
        [
            *("compute", "tpus", "queued-resources", "create", "d0", "--node-id=d0"),
            *("--zone=us-central1-a", "--accelerator-type=v5litepod-4"),
            *("--runtime-version=v2-alpha-tpuv5-lite", "--spot"),
        ]
    ]
    assert cloud.calls("delete") == [
        [
            *("compute", "tpus", "queued-resources", "delete", *place),
            *("--force", "--quiet"),
        ]
    ]
    ((*copy, archive, there, zone, workers),) = cloud.calls("scp")
    assert copy == ["compute", "tpus", "tpu-vm", "scp"]
    assert (there, zone, workers) == (
        "d0:checkout.tar.gz",
        "--zone=us-central1-a",
        "--worker=all",
    )
    assert not pathlib.Path(archive).exists()
    install, run = cloud.calls("ssh")
    for call in (install, run):
        assert call[:-1] == [
            *("compute", "tpus", "tpu-vm", "ssh", *place, "--worker=all")
        ]
    assert install[-1].endswith("&& mount it")
    assert run[-1].endswith(r"flock ~/efdet.lock python -m efdet_jax.main --a=b\ c ")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_deletes_the_tpu(cloud, number, code):
    cloud.plays(codes="wait")
    process = cloud.start("d0", "us-central1-a", "v6e-1", "train")
    deadline = time.monotonic() + 30
    while cloud.actions() != [*SET_UP, "ssh"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode == code
    assert cloud.actions() == [*SET_UP, "ssh", "delete"]
    assert not cloud.has_left()


def test_a_request_that_is_refused_leaves_nothing_to_delete(cloud):
    cloud.plays(states="REFUSED")
    code, said = cloud.run("train")
    assert code == 2
    assert "error: d0 could not be created: see what gcloud says above\n" in said
    assert cloud.actions() == ["create"]


def test_a_request_that_fails_is_an_error_and_is_deleted(cloud):
    cloud.plays(states="WAITING_FOR_RESOURCES FAILED")
    code, said = cloud.run("train")
    assert code == 2
    assert said == (
        "error: d0 could not be provided: is there a v5litepod-4 in us-central1-a?\n"
    )
    assert cloud.actions() == ["create", "delete"]


def test_a_resource_of_somebody_else_is_left_alone(cloud, tmp_path):
    (tmp_path / "exists").touch()
    code, said = cloud.run("train")
    assert code == 2
    assert (
        said == "error: d0 is there already (ACTIVE): use another name or delete it\n"
    )
    assert cloud.actions() == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["d0", "zone", "v5litepod-4"], "too few arguments"),
        (["d0", "zone", "A100:1", "train"], "accelerator A100:1 is unknown"),
    ],
)
def test_a_wrong_command_line_is_one_line(cloud, arguments, complaint):
    process = cloud.start(*arguments)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said.startswith(f"error: {complaint}")
    assert said.count("\n") == 1
    assert cloud.actions() == []
