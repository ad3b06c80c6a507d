"""Waiting for images that may never come, and for processes that may be gone."""

import functools
import logging
import multiprocessing
import os
import queue
import threading
from collections.abc import Callable, Sequence
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any

from efdet_jax.data.underway import read_for
from efdet_jax.errors import InputStopped

_LOG = logging.getLogger(__name__)

_MOST_NAMED = 4
"""Images; where a whole disk hangs, every thread reads one."""

Workers = Callable[[], Sequence[BaseProcess]]


def patiently(ask: Callable[[], Any], *, patience: float, workers: Workers) -> Any:
    """Returns what a call returns, which loads images and may hang.

    Args:
      ask: the call. It is made in a thread of its own, which stays behind if it hangs.
      patience: seconds after which it is told what hangs; after as many again, waiting
        ends. 0 is never, and calls in the caller's own thread.
      workers: returns the processes that load images for it.

    Raises:
      InputStopped: the time is over, or one of the processes has died.
    """
    try:
        return _within(ask, patience, workers) if patience else ask()
    except (StopIteration, InputStopped):
        raise
    except Exception as error:
        dead = [one for one in workers() if one.exitcode]
        if not dead:
            raise
        raise InputStopped(
            f"a process that loaded images has died ({_described(dead)}; -9 is mostly "
            "the system's, for want of memory: lower --config.data.num_workers then)"
        ) from error


def _within(ask: Callable[[], Any], patience: float, workers: Workers) -> Any:
    answers: queue.SimpleQueue = queue.SimpleQueue()

    def answer() -> None:
        try:
            answers.put((ask(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=answer, daemon=True).start()
    try:
        value, error = answers.get(timeout=patience)
    except queue.Empty:
        _LOG.warning(
            "no images have come for %g s: %s; the run ends if none come in as many",
            patience,
            _what_hangs(patience, workers()),
        )
        try:
            value, error = answers.get(timeout=patience)
        except queue.Empty:
            hanging = _what_hangs(patience, workers())
            raise InputStopped(
                f"no images have come for {2 * patience:g} s: {hanging} "
                f"(config.data.patience={patience:g})"
            ) from None
    if error is not None:
        raise error
    return value


def _what_hangs(patience: float, workers: Sequence[BaseProcess]) -> str:
    # Who began to read when the waiting began may not be as late as that.
    named = read_for(patience / 2)[:_MOST_NAMED]
    if workers:
        named.append(f"{_described(workers)} load them")
    return ", ".join(named) or "none is being read, so it is what comes after reading"


def _described(workers: Sequence[BaseProcess]) -> str:
    return ", ".join(
        f"process {one.pid}"
        + ("" if one.exitcode is None else f", exit code {one.exitcode}")
        for one in workers
    )


def attend(index: int, count: int, *, patience: float) -> None:
    """Lets a process that loads images tell what hangs in it, and end with the run.

    However that ends: who is killed cannot end others.

    Args:
      index: of the process.
      count: of such processes.
      patience: seconds after which an image that is being read hangs; 0 is never.
    """
    del index, count
    threading.Thread(target=functools.partial(_attend, patience), daemon=True).start()


def _attend(patience: float) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    while not connection.wait([parent.sentinel], patience / 2 or None):
        for told in read_for(patience):
            _LOG.warning("process %d: %s", os.getpid(), told)
    os._exit(1)
