import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from efdet_jax import lease
from efdet_jax.errors import UsageError

HOLD = """
import pathlib, sys, time
from efdet_jax import lease
with lease.held(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def owner(tmp_path):
    """Another process that holds the lease of the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_folder_has_one_owner_who_gives_it_back(tmp_path):
    assert lease.holder(tmp_path) is None
    with lease.held(tmp_path):
        held = lease.holder(tmp_path)
        assert held is not None
        assert held["pid"] == os.getpid()
    assert lease.holder(tmp_path) is None


def test_who_holds_it_holds_it_on(tmp_path):
    with lease.held(tmp_path):
        with lease.held(tmp_path):
            pass
        assert lease.holder(tmp_path) is not None
    assert lease.holder(tmp_path) is None


def test_what_another_process_holds_is_refused_naming_it(tmp_path, owner):
    with (
        pytest.raises(UsageError, match=rf"by process {owner.pid} on .*stop it first"),
        lease.held(tmp_path),
    ):
        pass


@pytest.mark.parametrize("is_waited_for", [False, True])
def test_what_a_killed_process_held_is_free(is_waited_for, tmp_path, owner):
    owner.send_signal(signal.SIGKILL)
    if is_waited_for:
        owner.wait()
    else:
        time.sleep(0.2)  # Dead, but its parent has not asked for it.
    assert lease.holder(tmp_path) is None
    with lease.held(tmp_path):
        pass


def test_a_number_given_to_a_new_process_does_not_hold_what_the_old_one_held(tmp_path):
    dead = {"host": socket.gethostname(), "pid": os.getpid(), "started": "1"}
    (tmp_path / "lease.json").write_text(json.dumps(dead))
    assert lease.holder(tmp_path) is None


def test_an_owner_elsewhere_lives_while_it_touches_the_file(tmp_path):
    path = tmp_path / "lease.json"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "1"}))
    assert lease.holder(tmp_path) is not None
    long_ago = time.time() - lease.STALE - 1
    os.utime(path, (long_ago, long_ago))
    assert lease.holder(tmp_path) is None


def test_a_held_file_is_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT", 0.02)
    with lease.held(tmp_path):
        path = tmp_path / "lease.json"
        os.utime(path, (0, 0))
        time.sleep(0.5)
        assert path.stat().st_mtime > 0
