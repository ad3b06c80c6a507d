"""Who works in a run's folder: a file that its owner touches while it lives."""

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from efdet_jax.errors import UsageError
from efdet_jax.records import read_record
from efdet_jax.replacing import replace_text

BEAT = 10.0
"""Seconds between two touches."""
STALE = 90.0
"""Seconds after which an owner on another machine counts as dead."""


def holder(folder: Path) -> dict[str, Any] | None:
    """Returns who holds the lease of a folder, None if nobody does.

    An owner on this machine is dead when its process is; one elsewhere, when it has
    not touched the file for `STALE` seconds.
    """
    path = folder / "lease.json"
    try:
        owner = read_record(path)
        age = time.time() - path.stat().st_mtime
    except (FileNotFoundError, UsageError):
        return None
    match owner:
        case {"host": str(host), "pid": int(pid), "started": started} if (
            0 < pid < 2**31
        ):
            if host == socket.gethostname():
                return owner if _started(pid) == started else None
            return owner if age < STALE else None
    return None


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds the lease of a folder, and touches it from a thread of its own.

    Who holds it already, this process, goes on holding it.

    Raises:
      UsageError: somebody else holds it.
    """
    path = folder / "lease.json"
    if not _take(folder, path):
        yield
        return
    is_over = threading.Event()

    def beat() -> None:
        while not is_over.wait(BEAT):
            path.touch()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        path.unlink(missing_ok=True)


def _take(folder: Path, path: Path) -> bool:
    """Takes the lease of a folder; says whether this process had it not yet."""
    pid, host = os.getpid(), socket.gethostname()
    folder.mkdir(parents=True, exist_ok=True)
    with _own_file(folder / ".lease.lock") as lock:
        # Two may have found it free at the same time.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if owner := holder(folder):
            if (owner["host"], owner["pid"]) == (host, pid):
                return False
            raise UsageError(
                f"{folder} is being worked in by process {owner['pid']} on "
                f"{owner['host']}: wait for it, or stop it first"
            )
        owner = {"host": host, "pid": pid, "started": _started(pid)}
        replace_text(path, json.dumps(owner))
        return True


def _own_file(path: Path) -> BinaryIO:
    """Opens a file, made where there is none; a link might lead to somebody else's.

    Raises:
      UsageError: there is a link, a folder or something else of that name.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be locked ({error.strerror}): remove it, or use another "
            "folder"
        ) from error
    return open(descriptor, "rb+")


def _started(pid: int) -> str | None:
    """Returns when a process began, so that a number given anew is told from it.

    None if there is no such process, or if it has ended and only waits to be counted;
    "" where the system does not say.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    try:
        # The name, second, may hold anything, but it ends with the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return None if fields[0] == "Z" else fields[19]
