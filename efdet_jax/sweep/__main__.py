"""Sweeps: many runs of the main job that end in a curve.

    python -m efdet_jax.sweep --config=experiments/sweeps/local.py [--launcher=...]
    python -m efdet_jax.sweep report WORKDIR...

The first runs trials; the same command again skips what has ended and goes on with the
rest. The second draws what there is so far, which the first does too as trials end.
"""

import functools
import hashlib
import sys
from pathlib import Path

from absl import flags

from efdet_jax.errors import EXIT_CODES, UsageError
from efdet_jax.memory import use_huge_pages
from efdet_jax.sweep.board import table
from efdet_jax.sweep.launchers.choosing import LAUNCHERS, create
from efdet_jax.sweep.loading import load_trials
from efdet_jax.sweep.runner import run

_FLAGS = flags.FlagValues()  # The main job's command line is another one.
_CONFIG = flags.DEFINE_string(
    "config", None, "Sweep to run: a file, or file:argument.", flag_values=_FLAGS
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Default: runs/sweeps/NAME_OF_CONFIG. All machines of the launcher must see it.",
    flag_values=_FLAGS,
)
_LAUNCHER = flags.DEFINE_enum(
    "launcher", "local", list(LAUNCHERS), "Where to run.", flag_values=_FLAGS
)
_OPTIONS = flags.DEFINE_list(
    "launcher_options",
    [],
    "KEY=VALUE of the launcher, such as slots=2.",
    flag_values=_FLAGS,
)
_DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "Print what every trial costs, and end.", flag_values=_FLAGS
)
_METRIC = flags.DEFINE_string(
    "metric", "", "To report; default: AP, or top1.", flag_values=_FLAGS
)
_OUT = flags.DEFINE_string(
    "out", None, "Of the report; default: WORKDIR/report.", flag_values=_FLAGS
)
_PUBLISHED = flags.DEFINE_bool(
    "published", False, "Lay D0 to D7x under the curves.", flag_values=_FLAGS
)


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit code: 0 if all trials have finished."""
    try:
        words = _FLAGS(argv)[1:]
        if words[:1] == ["report"]:
            sys.stdout.write(_report([Path(word) for word in words[1:]]) + "\n")
            return 0
        if words:
            raise UsageError(
                f"command line: {words[0]} is no command: write report WORKDIR, or "
                "--config=FILE to run a sweep"
            )
        if _CONFIG.value is None:
            raise UsageError("--config is missing: name a file of experiments/sweeps/")
        return _sweep(_CONFIG.value)
    except flags.Error as error:
        sys.stderr.write(f"error: command line: {error}\n")
        return EXIT_CODES[UsageError]
    except tuple(EXIT_CODES) as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_CODES[type(error)]


def _sweep(spec: str) -> int:
    trials = load_trials(spec)
    name = Path(spec.partition(":")[0]).stem
    workdir = Path(_WORKDIR.value or f"runs/sweeps/{name}")
    if _DRY_RUN.value:
        from efdet_jax.sweep.description import describe

        for line in describe(trials):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        return 0
    # Two workdirs of one sweep must not take each other's jobs for their own.
    digest = hashlib.sha256(str(workdir.absolute()).encode()).hexdigest()[:6]
    launcher = create(_LAUNCHER.value, f"{name}-{digest}", _OPTIONS.value)
    report = functools.partial(_report, [workdir])
    standings = run(workdir, trials, launcher, when_one_ends=report)
    sys.stdout.write(f"{table(standings)}\n\n{report()}\n")
    return 0 if all(s.state == "finished" for s in standings.values()) else 1


def _report(workdirs: list[Path]) -> str:
    """Writes the report; returns it as text."""
    # Draws: seconds to load.
    from efdet_jax.sweep.report.reporting import report

    if not workdirs:
        raise UsageError("report: no workdir: name that of a sweep, or several")
    out = Path(_OUT.value) if _OUT.value else None
    return report(workdirs, metric=_METRIC.value, out=out, published=_PUBLISHED.value)


if __name__ == "__main__":
    use_huge_pages(sys.orig_argv)
    sys.exit(main(sys.argv))
