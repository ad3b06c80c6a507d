"""Images that never come, and processes that die: told of, and not waited for."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from tiny_batches import Numbered, assert_same, take, train

from efdet_jax.data.waiting import patiently
from efdet_jax.errors import InputStopped


class Hanging(Numbered):
    """The image with index 7 comes when it is allowed to."""

    def __init__(self):
        super().__init__(20)
        self.may_go_on = threading.Event()

    def title(self, i):
        return f"folder/{i}.jpg"

    def image(self, i):
        if i == 7:
            self.may_go_on.wait(60)
        return super().image(i)


@pytest.mark.parametrize("num_threads", [0, 1, 3])
def test_an_image_that_never_comes_is_named_and_ends_the_stream(num_threads, caplog):
    source = Hanging()
    batches = train(source, num_threads=num_threads, patience=0.4)
    start = time.monotonic()
    with pytest.raises(InputStopped, match=r"no images have come for 0\.8 s: ") as end:
        take(batches, 4)
    waited = time.monotonic() - start
    batches.close()
    source.may_go_on.set()
    assert 0.8 <= waited < 5
    (warning,) = caplog.messages
    assert warning.startswith("no images have come for 0.4 s: folder/7.jpg has been re")
    assert "folder/7.jpg has been read for" in str(end.value)
    assert "\n" not in str(end.value)


def test_an_image_that_comes_late_is_told_of_and_changes_nothing(caplog):
    source = Hanging()
    threading.Timer(0.45, source.may_go_on.set).start()
    late = take(train(source, patience=0.3), 4)
    assert_same(late, take(train(Numbered(20)), 4))
    assert len(caplog.messages) == 1


def test_without_patience_nothing_is_told(caplog):
    source = Hanging()
    threading.Timer(0.3, source.may_go_on.set).start()
    assert_same(take(train(source, patience=0.0), 4), take(train(Numbered(20)), 4))
    assert not caplog.messages


def test_an_error_of_a_call_is_the_callers():
    def fails():
        raise KeyError("a")

    for patience in (0.0, 9.0):
        with pytest.raises(KeyError):
            patiently(fails, patience=patience, workers=list)


class HangingInWorker(Numbered):
    """Sleeps where it has been pickled to, at its image 7."""

    def title(self, i):
        return f"folder/{i}.jpg"

    def image(self, i):
        if i == 7:
            time.sleep(60)
        return super().image(i)


@pytest.mark.slow
def test_a_process_that_hangs_names_the_image_and_is_ended(capfd):
    batches = train(HangingInWorker(20), num_workers=2, num_threads=1, patience=6.0)
    with pytest.raises(
        InputStopped, match=r"process \d+, process \d+ load them"
    ) as end:
        take(batches, 4)
    start = time.monotonic()
    batches.close()
    assert time.monotonic() - start < 5
    numbers = [int(n) for n in re.findall(r"process (\d+)", str(end.value))]
    told = re.findall(r"process (\d+): folder/7\.jpg has been", capfd.readouterr().err)
    assert told
    assert int(told[0]) in numbers
    for number in numbers:
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)


@pytest.mark.slow
@pytest.mark.parametrize("patience", [0.0, 60.0])
def test_a_process_that_was_killed_is_told_of_at_once(patience):
    source = Numbered(20, size=(100, 150))
    batches = train(source, num_workers=1, patience=patience)
    take(batches, 1)
    (worker,) = batches._workers
    os.kill(worker.pid, signal.SIGKILL)
    start = time.monotonic()
    with pytest.raises(InputStopped, match=f"process {worker.pid}, exit code -9"):
        take(batches, 50)
    assert time.monotonic() - start < 20
    batches.close()


LOAD = """
import sys, time
sys.path.insert(0, "tests")
from tiny_batches import Numbered, take, train
if __name__ == "__main__":
    batches = train(Numbered(20), num_workers=2)
    take(batches, 3)
    print(*(worker.pid for worker in batches._workers), flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_processes_that_load_images_end_with_a_run_that_is_killed(tmp_path):
    script = tmp_path / "load.py"
    script.write_text(LOAD)
    run = subprocess.Popen(
        [sys.executable, script],
        cwd=pathlib.Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    workers = [int(number) for number in run.stdout.readline().split()]
    assert len(workers) == 2
    run.kill()
    run.wait()
    end = time.monotonic() + 10
    while any(pathlib.Path(f"/proc/{number}").exists() for number in workers):
        assert time.monotonic() < end, "they are still there"
        time.sleep(0.1)
