"""Being asked to stop, and stopping."""

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, NoReturn

_GRACE = 10.0
"""Seconds in which threads may end by themselves."""


def end_at_once() -> None:
    """Makes SIGINT and SIGTERM end the program at once with exit code 0.

    For a program that has nothing to save. Another thread ends it: the main thread
    would only after what it is in, and to compile a network takes long.
    """
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(write_end)

    def wait() -> None:
        os.read(read_end, 1)
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


class StopRequest:
    """Remembers that SIGINT or SIGTERM asked for a stop at the next step's end."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {
            number: signal.signal(number, self._request)
            for number in (signal.SIGINT, signal.SIGTERM)
        }

    def _request(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.requested = True
        # A second signal has its usual effect, at once.
        signal.signal(number, self._before[number])

    def close(self) -> None:
        """Gives the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


def leave(code: int) -> NoReturn:
    """Ends the process, even if a thread hangs in it that Python would wait for."""
    sys.stdout.flush()
    sys.stderr.flush()
    last = threading.Timer(_GRACE, os._exit, (code,))
    last.daemon = True
    last.start()
    sys.exit(code)
