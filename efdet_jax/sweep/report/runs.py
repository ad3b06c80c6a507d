"""What the trials of sweeps have come to, read from their folders."""

import pathlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from efdet_jax.errors import UsageError
from efdet_jax.records import is_number, read_record
from efdet_jax.sweep.trials import NAME

METRICS = ("AP", "top1")
"""What a sweep is about, unless somebody says otherwise: the first of these it has."""

FINISHED = "finished"
"""The status of a run whose figures are final."""


class Run(NamedTuple):
    """A trial and what is known of it by now."""

    sweep: str
    """The name of its sweep's workdir, or the path where two have one name."""
    name: str
    family: str
    also_in: tuple[str, ...]
    """Other families with it."""
    point: str
    config: str
    overrides: Mapping[str, Any]
    status: str
    """As its result.json has it; "waiting" without one, "unreadable" if damaged."""
    figures: Mapping[str, float]
    """The numbers of its result.json; what is null there is missing here."""
    device: str
    """The kind that it ran on, "" if not said."""


def read_runs(workdirs: Iterable[pathlib.Path]) -> list[Run]:
    """Returns all trials of the sweeps, in their order.

    Raises:
      UsageError: a workdir is none of a sweep.
    """
    paths = list(dict.fromkeys(path.resolve() for path in workdirs))
    shared = Counter(path.name for path in paths)
    return [
        _run(trial, path / trial["name"], path.name if shared[path.name] == 1 else path)
        for path in paths
        for trial in _trials(path)
    ]


def choose_metric(runs: Sequence[Run], wanted: str) -> str:
    """Returns the figure that the curves are of.

    Args:
      runs: all trials.
      wanted: its name; "" is the first of `METRICS` that a finished trial has.

    Raises:
      UsageError: no finished trial has what is wanted.
    """
    there = {name for run in runs if run.status == FINISHED for name in run.figures}
    if not wanted:
        return next((name for name in METRICS if name in there), METRICS[0])
    if there and wanted not in there:
        raise UsageError(
            f"--metric={wanted} is in no finished trial's result.json: use one of "
            f"{', '.join(sorted(there))}"
        )
    return wanted


def _trials(workdir: pathlib.Path) -> list[Mapping[str, Any]]:
    path = workdir / "sweep.json"
    try:
        trials = read_record(path)["trials"]
        for trial in trials:
            if not NAME.fullmatch(trial["name"]):
                raise ValueError(f"{trial['name']!r} is no name of a trial")
            trial["family"], trial["point"]
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}): name the --workdir of a sweep"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is damaged ({error}): run the sweep's command again, "
            "which writes it"
        ) from error
    return trials


def _run(
    trial: Mapping[str, Any], folder: pathlib.Path, sweep: str | pathlib.Path
) -> Run:
    result = _result(folder / "result.json")
    return Run(
        sweep=str(sweep),
        name=trial["name"],
        family=trial["family"],
        also_in=tuple(trial.get("also_in") or ()),
        point=trial["point"],
        config=trial.get("config", ""),
        overrides=trial.get("overrides") or {},
        status=str(result.get("status") or "unreadable"),
        figures={name: float(v) for name, v in result.items() if is_number(v)},
        device=str(result.get("device_kind") or ""),
    )


def _result(path: pathlib.Path) -> Mapping[str, Any]:
    """Returns a trial's result; runs on clusters may leave half a file, or none."""
    try:
        return read_record(path)
    except FileNotFoundError:
        return {"status": "waiting"}
    except UsageError:
        return {}
