import json
import os
import signal
import subprocess
import sys
import time

import pytest

from efdet_jax.errors import UsageError
from efdet_jax.sweep.launchers import choosing
from efdet_jax.sweep.launchers.local import Local, pinned, share
from efdet_jax.sweep.trials import Job, Resources

SAY = """
import json, os, signal, sys, time
def end(number, frame):
    print("asked to stop", flush=True)
    sys.exit(42)
signal.signal(signal.SIGTERM, end)
print(json.dumps(sorted(os.sched_getaffinity(0))), flush=True)
time.sleep(float(sys.argv[1]))
"""


def job(folder, name, seconds):
    (folder / name).mkdir()
    command = (sys.executable, "-c", SAY, str(seconds))
    return Job(name, command, folder / name, Resources())


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("slots", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 8, 13])
def test_every_item_is_somebody_s_and_nobody_has_much_more(slots, count):
    shares = [share(list(range(count)), slot, slots) for slot in range(slots)]
    assert {item for items in shares for item in items} <= set(range(count))
    sizes = {len(items) for items in shares}
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    if count >= slots:
        assert sorted(item for items in shares for item in items) == list(range(count))


def test_accelerators_that_are_visible_are_shared_out():
    visible = {"CUDA_VISIBLE_DEVICES": "2,3,5,7"}
    first, second = (pinned(visible, slot, 2) for slot in (0, 1))
    assert first["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert second["CUDA_VISIBLE_DEVICES"] == "5,7"


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is but one core")
def test_jobs_at_a_time_have_cores_of_their_own(tmp_path):
    launcher = Local(sweep="s", slots="2")
    for name in ("a", "b"):
        launcher.start(job(tmp_path, name, 0.5))
    assert launcher.alive() == {"a", "b"}
    wait_until(lambda: not launcher.alive())
    a, b = (
        set(json.loads((tmp_path / name / "log.txt").read_text()))
        for name in ("a", "b")
    )
    assert a | b == os.sched_getaffinity(0)
    assert not a & b


def test_a_free_slot_is_used_again_and_the_log_goes_on(tmp_path):
    launcher = Local(sweep="s")
    first = job(tmp_path, "a", 0)
    for _ in range(2):
        launcher.start(first)
        wait_until(lambda: not launcher.alive())
    assert len((first.folder / "log.txt").read_text().splitlines()) == 2


def test_stopping_asks_every_job_and_waits_for_it(tmp_path):
    launcher = Local(sweep="s")
    patient = job(tmp_path, "a", 60)
    launcher.start(patient)
    wait_until(lambda: (patient.folder / "log.txt").read_text())
    launcher.stop()
    assert not launcher.alive()
    assert "asked to stop" in (patient.folder / "log.txt").read_text()


def test_an_interrupt_of_the_terminal_does_not_reach_the_jobs(tmp_path):
    program = (
        "import sys, time, pathlib; sys.path[:0] = sys.argv[2:]\n"
        "from efdet_jax.sweep.launchers.local import Local\n"
        "from efdet_jax.sweep.trials import Job, Resources\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "command = (sys.executable, '-c', 'import time; time.sleep(60)')\n"
        "launcher = Local(sweep='s')\n"
        "launcher.start(Job('a', command, folder, Resources()))\n"
        "print(next(iter(launcher._running.values()))[1].pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    runner = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), *sys.path],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert runner.stdout is not None
    child = int(runner.stdout.readline())
    os.killpg(runner.pid, signal.SIGINT)  # as Ctrl-C does
    runner.wait()
    os.kill(child, 0)  # It lives.
    os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("slots", ["0", "two", "-1"])
def test_slots_are_a_number_of_processes(slots):
    with pytest.raises(UsageError, match=f"slots={slots} is no number"):
        choosing.create("local", "s", [f"slots={slots}"])


@pytest.mark.parametrize("option", ["partition=all", "slots", "slots="])
def test_an_option_that_the_launcher_has_not_is_refused(option):
    with pytest.raises(UsageError, match=r"means nothing to local: .* one of slots"):
        choosing.create("local", "s", [option])
