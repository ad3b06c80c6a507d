"""The command as a person starts it, up to where a detector would be loaded."""

import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def serve(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "efdet_jax.serve", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--from is missing"),
        (["--from=nowhere"], "nowhere"),
        (["--from=README.md"], "README.md"),
        (["--from=README.md", "--port=70000"], "port"),
        (["runs/quickstart"], "runs/quickstart belongs to no flag"),
    ],
)
def test_a_mistake_is_one_line(arguments, told):
    done = serve(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert told in line


@pytest.mark.slow
def test_a_port_in_use_is_said_before_anything_is_loaded():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = serve("--from=README.md", f"--port={port}")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: --port={port} ")


WAIT = """
import sys, time
from efdet_jax import stopping
stopping.end_at_once()
print("ready", flush=True)
time.sleep(60)
print("not ended")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_program_at_once_with_exit_code_0(number):
    started = subprocess.Popen(
        [sys.executable, "-c", WAIT], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout.readline() == "ready\n"
    os.kill(started.pid, number)
    assert started.wait(10) == 0
    assert started.stdout.read() == ""
