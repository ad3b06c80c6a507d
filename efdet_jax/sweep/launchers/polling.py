"""What is in an engine's queue, asked seldom: others share it, and it may be away."""

import time
from collections.abc import Callable, Iterable, Set

from efdet_jax.errors import UsageError

SECONDS_BETWEEN_QUESTIONS = 30.0
SECONDS_OF_PATIENCE = 600.0
"""How old an answer may become while the engine gives no other."""


class Queue:
    """Names of jobs, as of the last answer and what was started since."""

    def __init__(self, ask: Callable[[], Set[str]]):
        self._ask = ask
        self._names: set[str] = set()
        self._asked = self._answered = float("-inf")

    def add(self, name: str) -> None:
        """Adds a job that was just started."""
        self._names.add(name)

    def names(self) -> set[str]:
        """Returns the names of jobs that are queued or running.

        Raises:
          UsageError: the engine has not answered for `SECONDS_OF_PATIENCE`, or never.
        """
        now = time.monotonic()
        if now - self._asked >= SECONDS_BETWEEN_QUESTIONS:
            self._asked = now
            try:
                self._names = set(self._ask())
                self._answered = now
            except UsageError:
                if now - self._answered > SECONDS_OF_PATIENCE:
                    raise
        return set(self._names)


def trials_of(prefix: str, names: Iterable[str]) -> set[str]:
    """Returns the rest of those names that begin with `prefix`."""
    return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
