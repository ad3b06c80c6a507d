"""What a sweep consists of: a file in experiments/sweeps returns a list of these."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
"""What can name a trial, and so its folder."""


class Resources(NamedTuple):
    """What a trial needs of a cluster; on one machine it takes what there is."""

    accelerator: str = ""
    """As its cloud calls it, such as "v5litepod-4" or "A100:1"; "" is CPU only."""
    cpus: int = 4
    memory_gb: int = 16
    hours: float = 24.0
    """The longest time that one attempt may take."""


class Trial(NamedTuple):
    """One run of the main job, and its place in the comparison."""

    name: str
    """Of its folder in the sweep's workdir: letters, digits, "-", "_" and "."."""
    config: str
    """A config file, with its argument after a colon if it takes one."""
    overrides: Mapping[str, Any]
    """{config key: value}."""
    family: str
    """The curve that it belongs to, such as "compound"."""
    point: str
    """Its place on the curve, such as "phi -2"; only the seed tells trials of one
    point apart."""
    resources: Resources = Resources()
    also_in: tuple[str, ...] = ()
    """Other curves with this point, such as those that begin with it."""


class Job(NamedTuple):
    """What a launcher starts."""

    name: str
    """Of the trial."""
    command: tuple[str, ...]
    """To be run from the current folder; it returns the exit code of the main job,
    42 if it was stopped at a checkpoint and wants to be started again."""
    folder: Path
    """Of the trial; it exists, and "log.txt" in it takes what the command prints."""
    resources: Resources


def over_seeds(trials: Iterable[Trial], seeds: Iterable[int]) -> list[Trial]:
    """Returns every trial with every seed, the first seeds of all before the others."""
    trials = list(trials)
    return [
        trial._replace(
            name=f"{trial.name}-seed{seed}",
            overrides={**trial.overrides, "seed": seed},
        )
        for seed in seeds
        for trial in trials
    ]
