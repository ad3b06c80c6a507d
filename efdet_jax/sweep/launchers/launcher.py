"""What every launcher can do."""

from collections.abc import Set
from typing import Protocol

from efdet_jax.sweep.trials import Job


class Launcher(Protocol):
    """An engine that runs jobs.

    What became of a job is read from its trial's folder, never asked of the engine.
    """

    slots: float
    """How many jobs it takes at a time; infinity where the engine has a queue."""

    def start(self, job: Job) -> None:
        """Hands a job to the engine.

        Raises:
          UsageError: the engine refuses it.
        """
        ...

    def alive(self) -> Set[str]:
        """Returns the names of jobs that the engine has, queued or running."""
        ...

    def stop(self) -> None:
        """Ends what would not outlive this process, each at a checkpoint."""
        ...
