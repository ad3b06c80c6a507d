"""A program's way from its start to its first finished training step, for `bench.py`.

Each turn is a new process, ended when it says that the step is done. Where the case is
"cold_start" it finds an empty cache folder, else that of the warm-up.
"""

import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import turns  # pyrefly: ignore[missing-import]


def seconds_until(
    said: str, command: Sequence[str], environment: Mapping[str, str]
) -> float:
    """Returns the seconds from a program's start until it says something; ends it."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    last = ""
    try:
        for last in process.stdout:
            if said in last:
                return time.perf_counter() - start
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    raise turns.refusal(f"{command} never said '{said}': {last.strip()}")


def start(case: Mapping[str, Any], warm: str) -> float:
    """Returns the seconds of one start."""
    with tempfile.TemporaryDirectory() as folder:
        cache = warm if case["kind"] == "warm_start" else folder
        environment = os.environ | {"XDG_CACHE_HOME": cache}
        for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE"):
            environment.pop(name, None)
        command = [word.replace("{folder}", folder) for word in case["command"]]
        return seconds_until(case["said"], command, environment)


def main() -> None:
    """Takes its turns."""
    case = turns.case()
    with tempfile.TemporaryDirectory() as warm:
        turns.serve(
            partial(start, case, warm),
            {
                "threads": len(os.sched_getaffinity(0)),
                "dtype": case["dtype"],
                "device": case["device"],
                "versions": {},
            },
            warm_up=case["warm_up"],
            peak_gb=partial(turns.host_gb, resource.RUSAGE_CHILDREN),
        )


if __name__ == "__main__":
    main()
