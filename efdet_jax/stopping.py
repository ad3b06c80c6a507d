"""Being asked to stop."""

import signal
from types import FrameType
from typing import Any


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
