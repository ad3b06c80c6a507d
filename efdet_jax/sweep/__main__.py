"""Run many trials that end in a curve, or draw it.

    efdet sweep --config=experiments/sweeps/local.py --launcher_options=slots=2
    efdet sweep --config=experiments/sweeps/local.py --dry_run
    efdet sweep report WORKDIR... --out=FOLDER

The first runs trials; the same command again skips what has ended and goes on with the
rest. The last draws what there is so far, which the first does too as trials end.
"""

import functools
import hashlib
import sys
from pathlib import Path

from absl import flags

from efdet_jax import command
from efdet_jax.errors import UsageError
from efdet_jax.memory import keep_memory
from efdet_jax.sweep.board import table
from efdet_jax.sweep.launchers.choosing import LAUNCHERS, create
from efdet_jax.sweep.loading import load_trials
from efdet_jax.sweep.runner import run

_OF_REPORTS = {"metric", "out", "published"}
"""Flags that a report alone follows too."""


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit code: 0 if all trials have finished."""
    options = command.new_options(argv)
    text = functools.partial(flags.DEFINE_string, flag_values=options)
    switch = functools.partial(flags.DEFINE_bool, default=False, flag_values=options)
    text("config", None, "Sweep to run: a file, or file:argument.")
    text(
        "workdir",
        None,
        "Folder of the trials, which all machines of the launcher must see. Default: "
        "runs/sweeps/NAME_OF_CONFIG.",
    )
    flags.DEFINE_enum(
        "launcher", "local", list(LAUNCHERS), "Where to run.", flag_values=options
    )
    flags.DEFINE_list(
        "launcher_options",
        [],
        "KEY=VALUE of the launcher, such as slots=2.",
        flag_values=options,
    )
    switch("dry_run", help="Print what every trial costs, and end.")
    text("metric", "", "What the report draws. Default: AP, or top1.")
    text("out", None, "Folder of the report. Default: WORKDIR/report.")
    switch("published", help="Lay D0 to D7x under the curves.")
    return command.run(_run, argv, options, about=__doc__)


def _run(words: list[str], options: flags.FlagValues) -> int:
    if words[:1] == ["report"]:
        for name in options:
            if options[name].present and name not in _OF_REPORTS:
                raise UsageError(
                    f"report: --{name} is of sweeps that run: leave it out, and name "
                    "workdirs after the word"
                )
        workdirs = [Path(word) for word in words[1:]]
        sys.stdout.write(_report(workdirs, options) + "\n")
        return 0
    if words:
        raise UsageError(
            f"command line: {words[0]} is no command: write report WORKDIR, or "
            "--config=FILE to run a sweep"
        )
    if options.config is None:
        raise UsageError("--config is missing: name a file of experiments/sweeps/")
    return _sweep(options)


def _sweep(options: flags.FlagValues) -> int:
    trials = load_trials(options.config)
    name = Path(options.config.partition(":")[0]).stem
    workdir = Path(options.workdir or f"runs/sweeps/{name}")
    if options.dry_run:
        from efdet_jax.sweep.description import describe

        for line in describe(trials):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        return 0
    # Two workdirs of one sweep must not take each other's jobs for their own.
    digest = hashlib.sha256(str(workdir.absolute()).encode()).hexdigest()[:6]
    launcher = create(options.launcher, f"{name}-{digest}", options.launcher_options)
    report = functools.partial(_report, [workdir], options)
    standings = run(workdir, trials, launcher, when_one_ends=report)
    sys.stdout.write(f"{table(standings)}\n\n{report()}\n")
    return 0 if all(s.state == "finished" for s in standings.values()) else 1


def _report(workdirs: list[Path], options: flags.FlagValues) -> str:
    """Writes the report; returns it as text."""
    # Draws: seconds to load.
    from efdet_jax.sweep.report.reporting import report

    if not workdirs:
        raise UsageError("report: no workdir: name that of a sweep, or several")
    out = Path(options.out) if options.out else None
    return report(workdirs, metric=options.metric, out=out, published=options.published)


if __name__ == "__main__":
    keep_memory(sys.orig_argv)
    sys.exit(main(sys.argv))
