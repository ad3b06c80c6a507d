"""Workdirs that somebody else may have written: nothing runs, nothing else changes."""

import contextlib
import functools
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import test_checkpoint
import tiny
from hostile.bounded import in_time
from jax import numpy as jnp

from efdet_jax import lease
from efdet_jax.checkpoint import Checkpoints, read_latest
from efdet_jax.errors import UsageError, printable
from efdet_jax.journal import Journal, prepare_workdir
from efdet_jax.records import read_record
from efdet_jax.replacing import replace_text
from efdet_jax.run import labels_of
from efdet_jax.seals import flaw, steps, write_seal
from efdet_jax.sweep import attempt, standing
from efdet_jax.sweep.report.runs import read_runs
from efdet_jax.sweep.runner import enter
from efdet_jax.weights.opening import open_weights

DEEP = "[" * 10**5
NESTED = '{"a": ' * 900 + "1" + "}" * 900
CONTENTS = {
    "empty": b"",
    "cut": b'{"a": ',
    "a list": b"[1]",
    "a number": b"7",
    "a text": b'"abc"',
    "brackets": DEEP.encode(),
    "nested": NESTED.encode(),
    "digits": b'{"a": ' + b"9" * 10**5 + b"}",
    "no text": b"\xff\xfe\x00\xd8",
    "zeros": bytes(100),
}


def put(path, content):
    path.write_bytes(content)


ODD = {
    **{name: functools.partial(put, content=c) for name, c in CONTENTS.items()},
    "pipe": os.mkfifo,
    "folder": lambda path: path.mkdir(),
    "loop": lambda path: path.symlink_to(path.name),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "huge": lambda path: (put(path, b"{"), os.truncate(path, 2**40)),
}


def refused(act):
    """Returns the line that says why something was not done."""
    with in_time(), pytest.raises(UsageError) as caught:
        act()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2000
    return str(caught.value)


@pytest.mark.parametrize("odd", ODD)
def test_a_record_that_is_none_is_refused_by_name(odd, tmp_path):
    path = tmp_path / "odd.json"
    ODD[odd](path)
    assert str(path) in refused(lambda: read_record(path))


@pytest.mark.parametrize("odd", ODD)
def test_every_file_of_a_workdir_may_be_odd(odd, tmp_path):
    config = tiny.get_config()
    for name in ("config", "result", "lease", "attempt", "sweep"):
        ODD[odd](tmp_path / f"{name}.json")
    journal = Journal(tmp_path, writes=True)
    refused(lambda: journal.check_resumable(config))
    refused(lambda: attempt.read(tmp_path))
    refused(lambda: enter(tmp_path, []))
    refused(lambda: read_runs([tmp_path]))
    with in_time():
        assert lease.holder(tmp_path) is None
    (tmp_path / "attempt.json").rmdir() if odd == "folder" else (
        tmp_path / "attempt.json"
    ).unlink()
    with in_time():
        assert standing.read(tmp_path).state == "waiting"


@pytest.mark.parametrize(
    "owner",
    [
        {"host": 1, "pid": 2, "started": "3"},
        {"host": "h", "pid": "2", "started": "3"},
        {"host": "h", "pid": 2**70, "started": "3"},
        {"host": "h", "pid": -1, "started": ""},
        {"host": "h", "pid": 2},
        {"host": None},
    ],
)
def test_a_lease_that_names_nobody_is_held_by_nobody(owner, tmp_path):
    (tmp_path / "lease.json").write_text(json.dumps(owner))
    assert lease.holder(tmp_path) is None
    with lease.held(tmp_path):
        assert lease.holder(tmp_path)["pid"] == os.getpid()


@pytest.mark.parametrize("value", [None, "x", [], {}, True, 1e308, -1])
def test_numbers_of_a_trial_may_be_none(value, tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps({"config": {"steps": value, "batch_size": value}})
    )
    (tmp_path / "result.json").write_text(json.dumps({"step": value, "AP": value}))
    row = {"step": value, "images_per_second": value}
    (tmp_path / "metrics.jsonl").write_text(f"{DEEP}\n{json.dumps(row)}\n[7]\n\xff")
    standing.read(tmp_path)


def test_lines_of_metrics_that_are_none_are_forgotten(tmp_path):
    log = tmp_path / "metrics.jsonl"
    good = json.dumps({"step": 1, "loss": 2.0})
    lines = [good, DEEP, "[1]", '{"step": "1"}', "7", "{}", '{"step": 1']
    log.write_bytes("\n".join(lines).encode() + b"\n\xff\n")
    Journal(tmp_path, writes=True).start(tiny.get_config(), from_step=5)
    assert log.read_text() == f"{good}\n"


def test_a_trial_of_a_sweep_is_a_folder_in_it(tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "result.json").write_text('{"status": "finished", "AP": 1.0}')
    for name in ("..", "../x", "/etc", "a/b", ".", "\0", "", 7):
        row = {"name": name, "family": "f", "point": "p"}
        text = json.dumps({"trials": [row]})
        (tmp_path / "sweep" / "sweep.json").write_text(text)
        assert "is damaged" in refused(lambda: read_runs([tmp_path / "sweep"]))


# Links in the places of files that are written.


@pytest.fixture
def own(tmp_path):
    """A file of the user's, and a workdir in which everything is a link to it."""
    own = tmp_path / "own"
    own.write_text("mine")
    (tmp_path / "run").mkdir()
    yield own, tmp_path / "run"
    assert own.read_text() == "mine"


@pytest.mark.parametrize("name", [".lease.lock", "lease.json", ".probe"])
def test_holding_a_workdir_writes_nothing_elsewhere(name, own):
    path, workdir = own
    (workdir / name).symlink_to(path)
    with contextlib.suppress(UsageError):
        prepare_workdir(str(workdir))
        with lease.held(workdir):
            pass


def test_files_of_a_run_replace_links(own):
    path, workdir = own
    names = ("config.json", "result.json", "metrics.jsonl", "detections.json")
    names = (*names, "pictures/00.png")
    (workdir / "pictures").mkdir()
    for name in names:
        (workdir / name).symlink_to(path)
    journal = Journal(workdir, writes=True)
    journal.start(tiny.get_config(), from_step=0)
    journal.result({"step": 1})
    journal.detections([])
    journal.pictures(1, [np.zeros((4, 4, 3), np.uint8)])
    for name in names:
        assert not (workdir / name).is_symlink()


def test_a_temporary_name_may_be_a_link(own, monkeypatch):
    path, workdir = own
    monkeypatch.setattr("efdet_jax.replacing.os.getpid", lambda: 7)
    monkeypatch.setattr("efdet_jax.replacing.socket.gethostname", lambda: "h")
    (workdir / ".a.json.h.7").symlink_to(path)
    replace_text(workdir / "a.json", "{}")
    assert (workdir / "a.json").read_text() == "{}"


# Seals and checkpoints.

written = test_checkpoint.written
folder = test_checkpoint.folder


@pytest.mark.parametrize(
    "name", ["../../secret", "/etc/passwd", "state/../../../secret", "..", "/"]
)
def test_a_seal_that_names_what_is_elsewhere_is_broken(name, folder):
    (folder.parents[0] / "secret").write_text("secret")
    (folder / "3" / "seal.json").write_text(json.dumps({"files": {name: [6, "0"]}}))
    assert "which is not in the folder" in (flaw(folder / "3") or "")


@pytest.mark.parametrize(
    "files",
    [
        {"a": 1},
        {"a": []},
        {"a": ["6", 7]},
        {"a": [1, 2, 3]},
        {"a\0b": [1, "0"]},
        {"pipe": [0, "0"]},
        {".": [0, "0"]},
        [1],
        "text",
        None,
    ],
)
def test_a_seal_of_anything_is_no_seal(files, folder):
    os.mkfifo(folder / "3" / "pipe")
    (folder / "3" / "a").write_text("secret")
    (folder / "3" / "seal.json").write_text(json.dumps({"files": files}))
    with in_time():
        assert flaw(folder / "3")


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_seal_is_no_seal(odd, folder):
    (folder / "3" / "seal.json").unlink()
    ODD[odd](folder / "3" / "seal.json")
    with in_time():
        assert flaw(folder / "3")
        assert read_latest(folder).step == 2


def test_only_plain_numbers_are_steps(tmp_path):
    names = ["5", "07", "\u00b2", "\u0663", "1e3", "-1", "+2", "1_0", "9" * 200, "0"]
    for name in names:
        (tmp_path / name).mkdir()
    assert steps(tmp_path) == [0, 5, int("9" * 200)]
    with contextlib.suppress(UsageError):
        read_latest(tmp_path)


@pytest.mark.parametrize("odd", ["empty", "pipe", "loop", "device"])
def test_a_checkpoint_that_is_no_folder_is_a_damaged_one(odd, folder):
    shutil.rmtree(folder / "3")
    ODD[odd](folder / "3")
    with in_time():
        assert read_latest(folder).step == 2
        test_checkpoint.check_restored(folder, 2)


def test_checkpoints_that_are_no_folder_are_refused(tmp_path):
    for odd in ("empty", "pipe", "loop"):
        path = tmp_path / odd / "checkpoints"
        path.parent.mkdir()
        ODD[odd](path)
        said = refused(lambda p=path: Checkpoints(p, keep=2, if_it_fails="stop"))
        assert str(path) in said


def test_what_a_link_leads_to_is_never_removed(folder, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    (folder / "1").symlink_to(precious)
    (folder / "9.orbax-checkpoint-tmp").symlink_to(precious)
    test_checkpoint.write(folder, (4, 5))
    assert (precious / "file").read_text() == "mine"


def test_a_linked_checkpoint_is_read_if_its_seal_holds(folder, tmp_path):
    shutil.move(folder / "3", tmp_path / "moved")
    (folder / "3").symlink_to(tmp_path / "moved")
    test_checkpoint.check_restored(folder, 3)


def edited(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def lead_out(metadata):
    """Every array's key says that it is above."""
    for entry in metadata["tree_metadata"].values():
        for key in entry["key_metadata"]:
            key["key"] = "../../../elsewhere"


def elsewhere(checkpoint):
    edited(checkpoint / "state" / "_METADATA", lead_out)


def not_together(checkpoint):
    def change(metadata):
        metadata["use_ocdbt"] = False

    edited(checkpoint / "state" / "_METADATA", change)


def unknown_type(checkpoint):
    def change(metadata):
        for entry in metadata["tree_metadata"].values():
            entry["value_metadata"]["value_type"] = "os.system"

    edited(checkpoint / "state" / "_METADATA", change)


EDITS = {
    "arrays elsewhere": elsewhere,
    "arrays one by one": not_together,
    "an unknown type": unknown_type,
    "metadata nested": lambda c: put(c / "state" / "_METADATA", NESTED.encode()),
    "metadata brackets": lambda c: put(c / "state" / "_METADATA", DEEP.encode()),
    "metadata of nothing": lambda c: put(c / "state" / "_METADATA", b"{}"),
    "progress nested": lambda c: put(c / "progress" / "metadata", NESTED.encode()),
    "progress brackets": lambda c: put(c / "progress" / "metadata", DEEP.encode()),
    "progress a list": lambda c: put(c / "progress" / "metadata", b"[1]"),
    "progress a pipe": lambda c: (
        (c / "progress" / "metadata").unlink(),
        os.mkfifo(c / "progress" / "metadata"),
    ),
    "no arrays": lambda c: shutil.rmtree(c / "state" / "d"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_checkpoint_does_not_hold_what_its_seal_says(edit, folder):
    EDITS[edit](folder / "3")
    with in_time(60):
        assert flaw(folder / "3")
        assert read_latest(folder).step == 2


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_checkpoint_that_was_sealed_again_runs_nothing(edit, folder):
    """A seal is no signature: who can write a checkpoint can seal it."""
    EDITS[edit](folder / "3")
    (folder / "3" / "seal.json").unlink()
    write_seal(folder / "3", besides=("_CHECKPOINT_METADATA",))
    before = sorted(folder.parent.rglob("*"))
    if edit == "progress a pipe":
        with in_time():
            assert read_latest(folder).step == 2
    else:
        said = refused(lambda: labels_of(read_latest(folder).progress, folder))
        assert "cannot be read" in said or "no training has written" in said
    assert sorted(folder.parent.rglob("*")) == before


def test_a_checkpoint_that_claims_more_than_it_has_is_refused(tmp_path):
    """Zeros, and arrays of which nothing was written, take no room in a file."""
    large = test_checkpoint.state(1)._replace(
        params={"head": {"kernel": jnp.zeros((2**13, 2**12), jnp.float32)}}
    )
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1, if_it_fails="stop")
    checkpoints.save(1, large, test_checkpoint.progress(1), best=None)
    checkpoints.close()
    said = refused(lambda: read_latest(tmp_path / "checkpoints"))
    assert "claims" in said


@pytest.mark.parametrize(
    "progress",
    [
        {},
        {"labels": {"ids": [1], "names": ["a"]}},
        {"labels": 1, "batches": {"next": 1}, "result": {}, "seconds": 1.0},
        {"labels": {}, "batches": {"next": 1}, "result": {}, "seconds": 1.0},
        {"labels": {}, "batches": {"next": -1}, "result": {}, "seconds": 1.0},
        {"labels": {}, "batches": {"next": "1"}, "result": {}, "seconds": 1.0},
        {"labels": {}, "batches": [1], "result": {}, "seconds": 1.0},
        {"labels": {}, "batches": {"next": 1}, "result": [], "seconds": None},
        {
            "labels": {"ids": [[1]], "names": ["a"]},
            "batches": {"next": 1},
            "result": {},
            "seconds": 1.0,
        },
    ],
)
def test_progress_of_anything_is_refused(progress):
    refused(lambda: labels_of(progress, pathlib.Path("run")))


def test_a_workdir_without_classes_is_no_weights(folder):
    assert "classes" in refused(lambda: open_weights(folder.parent))


def test_what_cannot_be_shown_is_spelt():
    assert printable("a\x1b[2J\nb\ud800ü") == "a\\x1b[2J\\nb\\ud800ü"
    said = str(UsageError("file" + "x" * 10**6 + "remedy"))
    assert said.startswith("file")
    assert said.endswith("remedy")
    assert len(said) < 1600
