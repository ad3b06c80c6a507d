"""How a contender takes its turns: a process that runs for each line it reads."""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

_TUNED = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "536870912",
}


class Task(NamedTuple):
    """What is timed."""

    run: Callable[[], Any]
    """One run; it may leave work to the device."""
    finish: Callable[[Any], object] = lambda result: None
    """Waits until a run's result, and with it everything before, is there."""


def host_gb(who: int = resource.RUSAGE_SELF) -> float:
    """Returns the most memory that the process, or one of its children, ever had."""
    return resource.getrusage(who).ru_maxrss / 1e6  # of kilobytes


def keep_freed_memory() -> None:
    """Starts the program again, once, with a glibc that gives no memory back.

    Otherwise every step takes it anew: half of the peers' time.
    """
    if not _TUNED.keys() & os.environ.keys():
        os.execve(sys.executable, sys.orig_argv, os.environ | _TUNED)


def seconds_of(task: Task, runs: int) -> float:
    """Returns the seconds of one run out of `runs` in a row."""
    start = time.perf_counter()
    result = None
    for _ in range(runs):
        result = task.run()
    task.finish(result)
    return (time.perf_counter() - start) / runs


def serve(
    once: Callable[[], float],
    about: Mapping[str, Any],
    *,
    warm_up: int,
    peak_gb: Callable[[], float] = host_gb,
) -> None:
    """Warms up, says what it is, and runs for each line until the last.

    Args:
      once: runs; returns the seconds.
      about: what must be equal for times to be compared, and versions.
      warm_up: turns that do not count.
      peak_gb: the most memory that all of it took.
    """
    start = time.perf_counter()
    for _ in range(warm_up):
        once()
    tell({"about": dict(about), "warm_up_seconds": time.perf_counter() - start})
    for _ in sys.stdin:
        tell({"seconds": once()})
    tell({"peak_gb": peak_gb()})


def tell(message: Mapping[str, Any]) -> None:
    """Writes one line for `bench.py`, whatever else the process prints."""
    sys.stdout.write(f"turn {json.dumps(message)}\n")
    sys.stdout.flush()


def refusal(reason: str) -> SystemExit:
    """Returns what to raise instead of running; `bench.py` ends with the reason."""
    tell({"refusal": reason})
    return SystemExit(1)


def case() -> dict[str, Any]:
    """Returns the case that the command line names, with what it is to be run with."""
    return json.loads(sys.argv[1])
