"""Making the launcher that a command line asks for."""

import inspect
from collections.abc import Callable, Sequence

from efdet_jax.errors import UsageError
from efdet_jax.sweep.launchers.gke import GKE
from efdet_jax.sweep.launchers.launcher import Launcher
from efdet_jax.sweep.launchers.local import Local
from efdet_jax.sweep.launchers.skypilot import SkyPilot
from efdet_jax.sweep.launchers.slurm import Slurm

LAUNCHERS: dict[str, Callable[..., Launcher]] = {
    "local": Local,
    "slurm": Slurm,
    "skypilot": SkyPilot,
    "gke": GKE,
}
"""By name. Each takes the sweep's name, and its options as text."""


def create(name: str, sweep: str, options: Sequence[str]) -> Launcher:
    """Returns a launcher.

    Args:
      name: a key of `LAUNCHERS`.
      sweep: its jobs are known by this name to the engine.
      options: "KEY=VALUE" each.

    Raises:
      UsageError: an option is unknown or not of this form, or the launcher's command is
        missing.
    """
    make = LAUNCHERS[name]
    known = [key for key in inspect.signature(make).parameters if key != "sweep"]
    given = {key: value for key, _, value in (o.partition("=") for o in options)}
    for key, value in given.items():
        if key not in known or not value:
            raise UsageError(
                f"--launcher_options={key}={value} means nothing to {name}: write "
                f"KEY=VALUE with one of {', '.join(known)}"
            )
    return make(sweep=sweep, **given)
