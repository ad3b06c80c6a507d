"""The processes of one run, one for each host: how they meet and what they agree on.

All are started with the same command line. The first, process 0, writes the files of
the run; every other one reads its own share of the data and computes its share of each
step. What they must decide alike, one decides for all, or any for all.
"""

import glob
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import UInt8

from efdet_jax.errors import EXIT_CODES, HostLost, UsageError

T = TypeVar("T")

CONNECTING = ("auto", "on", "off")
"""When processes are connected: where there are others, always, never."""

SECONDS_TO_MEET = 300
"""How long a process waits at the start for the others."""
SECONDS_TO_MISS = 60
"""After which a host that says nothing counts as lost, and the others end."""

_SIGNS_OF_LOSS = ("Gloo", "Connection closed", "Connection reset", "heartbeat", "NCCL")
"""What an error says where a collective operation has lost a partner."""


def connect(*, how: str, coordinator: str, count: int, index: int) -> None:
    """Connects this process with the others of its run, if it has any.

    Comes before anything that touches a device.

    Args:
      how: one of `CONNECTING`; "auto" is "on" in a step of several Slurm tasks and on
        a machine with a TPU. What "on" connects to, JAX finds out (Slurm, Cloud TPU,
        GKE, Open MPI).
      coordinator: HOST:PORT of process 0, where nothing is to be found out; or "".
      count: processes, with a coordinator.
      index: of this process, with a coordinator.

    Raises:
      UsageError: they cannot be found, or do not come.
    """
    if coordinator:
        if not 0 <= index < count:
            raise UsageError(
                f"--coordinator={coordinator} needs the number of processes and which "
                f"one this is, not {count} and {index}: set --num_processes, and "
                "--process_id from 0 to one less"
            )
        named: dict[str, Any] = {
            "coordinator_address": coordinator,
            "num_processes": count,
            "process_id": index,
        }
    elif how == "on" or (how == "auto" and _has_others()):
        named = {}
    else:
        return
    try:
        jax.distributed.initialize(
            **named,
            initialization_timeout=SECONDS_TO_MEET,
            heartbeat_timeout_seconds=SECONDS_TO_MISS,
            shutdown_timeout_seconds=SECONDS_TO_MISS,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(
            f"the processes of this run do not find each other ({reason}): name them "
            "with --coordinator=HOST:PORT --num_processes=… --process_id=…, or say "
            "--distributed=off"
        ) from error


def _has_others() -> bool:
    """Says whether this process is of a step of several Slurm tasks, or has a TPU.

    On a TPU even a single process may call `jax.distributed.initialize`.
    """
    if "SLURM_STEP_NODELIST" in os.environ:
        return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1
    platforms = os.environ.get("JAX_PLATFORMS", "")
    has_chip = glob.glob("/dev/accel[0-9]*") or glob.glob("/dev/vfio/[0-9]*")
    has_library = importlib.util.find_spec("libtpu") is not None
    return bool(has_library and has_chip) and platforms in ("", "tpu", "tpu,cpu")


def is_first() -> bool:
    """Says whether this is the process that writes files and talks to people."""
    return jax.process_index() == 0


def first_does(act: Callable[[], T]) -> T:
    """Lets the first process do something; returns what came of it to all.

    Args:
      act: returns what JSON can hold.

    Raises:
      UsageError: on all of them, where `act` raised one.
    """
    if jax.process_count() == 1:
        return act()
    told = {}
    if is_first():
        try:
            told = {"result": act()}
        except UsageError as error:
            told = {"refusal": str(error)}
    told = json.loads(_from_first(json.dumps(told).encode()))
    if "refusal" in told:
        raise UsageError(told["refusal"])
    return told["result"]


def _from_first(message: bytes) -> bytes:
    """Returns the first process's message; the others' own do not count."""
    size = multihost_utils.broadcast_one_to_all(np.int32(len(message)))
    padded: UInt8[np.ndarray, " n"] = np.zeros(int(size), np.uint8)
    if is_first():
        padded[:] = np.frombuffer(message, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(padded)).tobytes()


def is_preempted(step: int) -> bool:
    """Says whether JAX's preemption service wants all processes to end after a step.

    It says so on all of them at the same step.
    """
    if jax.process_count() == 1 or not _has_preemption_service():
        return False
    return multihost_utils.reached_preemption_sync_point(step)


def _has_preemption_service() -> bool:
    return jax.config.values["jax_enable_preemption_service"]


def end_if_lost(error: jax.errors.JaxRuntimeError) -> None:
    """Ends this process, without waiting, if an error means that another has ended.

    What waits for all processes, such as the end of a checkpoint, would wait in vain.
    """
    said = str(error)
    if jax.process_count() > 1 and any(sign in said for sign in _SIGNS_OF_LOSS):
        _end(HostLost("another process of this run has ended"), said.splitlines())


def _end(lost: HostLost, reasons: Sequence[str]) -> NoReturn:
    sys.stderr.write(
        f"error: {lost} ({reasons[0][:200]}): start all of them again with the same "
        "command, which goes on from the newest checkpoint\n"
    )
    sys.stderr.flush()
    os._exit(EXIT_CODES[HostLost])
