"""Sweeps: `python -m efdet_jax.sweep --config=experiments/sweeps/local.py`.

The same command again skips what has ended and goes on with the rest. `report WORKDIR`
draws what there is so far.
"""

import hashlib
import os
import sys
from pathlib import Path

from absl import flags

from efdet_jax.errors import EXIT_CODES, UsageError
from efdet_jax.memory import use_huge_pages
from efdet_jax.sweep.board import table
from efdet_jax.sweep.launchers.choosing import LAUNCHERS, create
from efdet_jax.sweep.loading import load_trials
from efdet_jax.sweep.runner import run

_CONFIG = flags.DEFINE_string("config", None, "Sweep to run: a file, or file:argument.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Default: runs/NAME_OF_CONFIG.")
_LAUNCHER = flags.DEFINE_enum("launcher", "local", list(LAUNCHERS), "Where to run.")
_OPTIONS = flags.DEFINE_list(
    "launcher_options", [], "KEY=VALUE of the launcher, such as slots=2."
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print what every trial costs, and end.")


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit code: 0 if all trials have finished."""
    try:
        flags.FLAGS(argv)
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
    # Before JAX is loaded, which reads it once; the trials find their steps there.
    os.environ.setdefault(
        "JAX_COMPILATION_CACHE_DIR", str((workdir / "compilation_cache").absolute())
    )
    if _DRY_RUN.value:
        from efdet_jax.sweep.description import describe

        for line in describe(trials):
            sys.stdout.write(line + "\n")
        return 0
    # Two workdirs of one sweep must not take each other's jobs for their own.
    digest = hashlib.sha256(str(workdir.absolute()).encode()).hexdigest()[:6]
    launcher = create(_LAUNCHER.value, f"{name}-{digest}", _OPTIONS.value)
    standings = run(workdir, trials, launcher)
    sys.stdout.write(table(standings) + "\n")
    return 0 if all(s.state == "finished" for s in standings.values()) else 1


if __name__ == "__main__":
    use_huge_pages(sys.orig_argv)
    sys.exit(main(sys.argv))
