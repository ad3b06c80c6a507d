"""Bounds within which hostile input has to be dealt with."""

import contextlib
import pathlib
import resource
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
SECONDS_PER_CASE = 30
"""Of wall time, on a machine that may be busy; a case takes milliseconds."""


@contextlib.contextmanager
def in_time(seconds=10):
    """Fails what takes longer, also where it waits for somebody."""

    def give_up(number, frame):
        raise AssertionError(f"took more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def bound_memory(more):
    """Lets this process take so many bytes more than it has."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def each_in_time(cases):
    """Yields cases and says which; what hangs in C too is killed with the process."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for case in cases:
        sys.stdout.write(f"{case}\n")
        sys.stdout.flush()
        signal.alarm(SECONDS_PER_CASE)
        yield case
        signal.alarm(0)


def fuzzed(program, folder, *arguments):
    """Runs a program beside this file in a process of its own, which must survive.

    Returns what it counted, its last line.
    """
    outside, inside = folder / "outside", folder / "inside"
    outside.mkdir()
    inside.mkdir()
    ran = subprocess.run(
        [sys.executable, str(HERE / program), *map(str, arguments)],
        cwd=outside,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(inside)} | path_of_package(),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    lines = ran.stdout.splitlines()
    assert ran.returncode == 0, f"case {lines[-1:]}: {ran.stderr[-3000:]}"
    for place in (outside, inside):
        assert not list(place.iterdir()), "something was left there"
    return lines[-1]


def path_of_package():
    root = HERE.parents[1]
    return {"PYTHONPATH": f"{root}:{root / 'tests'}"}
