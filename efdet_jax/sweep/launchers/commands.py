"""The commands of engines, whose refusal becomes one line."""

import shutil
import subprocess

from efdet_jax.errors import UsageError


def require(command: str, remedy: str) -> None:
    """Checks that a command is there.

    Raises:
      UsageError: it is not on PATH.
    """
    if shutil.which(command) is None:
        raise UsageError(f"the command {command} is not on PATH: {remedy}")


def output(*command: str, remedy: str) -> str:
    """Runs a command and returns what it printed.

    Raises:
      UsageError: it failed; with the last lines of what it said, and the remedy.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = "; ".join(said[-2:]) or f"exit code {done.returncode}"
        raise UsageError(f"{' '.join(command)} failed ({reason}): {remedy}")
    return done.stdout
