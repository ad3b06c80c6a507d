"""A real Slurm of one node on the loopback, as processes of the test."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

DAEMONS = ("munged", "slurmctld", "slurmd")

CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
# A requeued job waits until the credential of its last run has expired; else 2 minutes.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
KillWait=10
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=64000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing():
    """Returns why there can be no cluster here, "" if there can."""
    if os.geteuid() != 0:
        return "slurmd needs root"
    absent = [name for name in DAEMONS if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


@contextlib.contextmanager
def cluster():
    """Runs the daemons; yields the path of the configuration, for SLURM_CONF."""
    # Not pytest's folder: the path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="slurm") as name:
        folder = pathlib.Path(name)
        config = _configure(folder)
        environment = {**os.environ, "SLURM_CONF": str(config)}
        munge = [f"--{x}={folder}/munge.{x.split('-')[0]}" for x in _MUNGE_FILES]
        commands = [
            ["munged", "--foreground", "--force", *munge],
            ["slurmctld", "-D"],
            ["slurmd", "-D"],
        ]
        with contextlib.ExitStack() as stack:
            for command in commands:
                stack.enter_context(_running(command, folder, environment))
            _wait_for("idle", ["sinfo", "--noheader", "--format=%T"], environment)
            yield config
            subprocess.run(["scancel", "--full", "--user=root"], env=environment)
            _wait_for("", ["squeue", "--noheader"], environment)


_MUNGE_FILES = ("key-file", "socket", "pid-file", "log-file", "seed-file")


def _configure(folder):
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        ports = [free.getsockname()[1] for free in sockets]
    host = socket.gethostname().partition(".")[0]
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(host=host, ports=ports, folder=folder))
    return config


@contextlib.contextmanager
def _running(command, folder, environment):
    with (folder / f"{command[0]}.out").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _wait_for(answer, command, environment):
    deadline = time.monotonic() + 30
    while True:
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip() == answer:
            return
        assert time.monotonic() < deadline, (command, done.stdout, done.stderr)
        time.sleep(0.2)
