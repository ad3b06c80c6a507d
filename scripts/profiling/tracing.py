"""When the instructions of a program run."""

import collections
import heapq
import math
import pathlib
import tempfile
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
from profiling.program import Program  # pyrefly: ignore[missing-import]


class Event(NamedTuple):
    """That an instruction ran, in nanoseconds."""

    name: str
    start: float
    end: float


def traced(run: Callable[[], object], program: Program) -> list[Event]:
    """Returns what ran of a program in one run."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            run()
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
    devices = [plane for plane in planes if plane.name.startswith("/device:GPU")]
    found, ends = [], {}
    tasks: dict[int, list[float]] = collections.defaultdict(list)
    begun: dict[int, list[float]] = collections.defaultdict(list)
    for plane in devices or planes:
        for thread, line in enumerate(plane.lines):
            for event in line.events:
                stats = dict(event.stats)
                if stats.get("hlo_module") == program.name and "hlo_op" in stats:
                    name = str(stats["hlo_op"])
                    key = f"end: {name}", stats.get("_p")
                    found.append((Event(name, event.start_ns, event.end_ns), key))
                    begun[thread].append(event.start_ns)
                elif event.name == "ThreadpoolListener::StartRegion":
                    tasks[thread].append(event.start_ns)
                elif "_c" in stats:
                    ends[event.name, stats["_c"]] = thread, event.start_ns
    events = []
    for event, key in found:
        end = event.end
        if key in ends:
            thread, mark = ends[key]
            # What other threads finish ends later than the call that began it, but not
            # as late as it is marked: the thread that finishes it, in some task, first
            # runs what waited for it.
            task = max((at for at in tasks[thread] if at <= mark), default=0)
            since = max(event.start, task)
            waited = [at for at in begun[thread] if since < at < mark]
            end = min(waited, default=mark)
        events.append(event._replace(end=end))
    return events


def shared_seconds(
    events: Iterable[Event], containers: Iterable[str] = ()
) -> dict[str, float]:
    """Returns the seconds of each name, each moment split among all that run in it.

    A container has only those moments in which nothing else runs.
    """
    containers = set(containers)
    waiting = sorted(events, key=lambda event: event.start)
    running: list[tuple[float, int]] = []
    seconds: dict[str, float] = collections.defaultdict(float)
    now, index = 0.0, 0
    while running or index < len(waiting):
        starts = waiting[index].start if index < len(waiting) else math.inf
        until = min(starts, running[0][0] if running else math.inf)
        names = [waiting[which].name for _, which in running]
        names = [name for name in names if name not in containers] or names
        for name in names:
            seconds[name] += (until - now) / len(names) / 1e9
        now = until
        if running and running[0][0] <= starts:
            heapq.heappop(running)
        else:
            heapq.heappush(running, (waiting[index].end, index))
            index += 1
    return dict(seconds)
