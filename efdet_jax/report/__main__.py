"""Tell on one page what came of a run.

    efdet report runs/quickstart
    efdet report --out=quickstart.html runs/quickstart

Draws how it went, what it finds and misses, which mistakes cost how much and what its
neck has learned. Needs the workdir, and the validation data that its config names.
"""

import logging
import pathlib
import sys

from absl import flags

from efdet_jax import caches, command
from efdet_jax.errors import UsageError
from efdet_jax.memory import keep_memory


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit code."""
    options = command.new_options(
        argv, config="Experiment of the run, if its own config cannot be read."
    )
    flags.DEFINE_string(
        "out",
        None,
        "Page to write. Default: report.html in the workdir.",
        flag_values=options,
    )
    return command.run(_report, argv, options, about=__doc__)


def _report(words: list[str], options: flags.FlagValues) -> int:
    if len(words) != 1:
        given = " ".join(words) or "none"
        raise UsageError(
            f"command line: one workdir must be named, not {given}: "
            "python -m efdet_jax.report WORKDIR"
        )
    workdir = pathlib.Path(words[0])
    if not (workdir / "checkpoints").is_dir():
        what = "has no checkpoint" if workdir.is_dir() else "does not exist"
        raise UsageError(f"{workdir} {what}: name the --workdir of a run")
    config = command.experiment([], options) if command.has_config(options) else None
    out = pathlib.Path(options.out or workdir / "report.html")
    command.check_writable(out)
    caches.keep_compiled_programs()
    logging.basicConfig(format="%(message)s")
    # These load JAX and draw: seconds.
    from efdet_jax.report.reporting import report

    page, missing = report(workdir, config)
    out.write_text(page)
    for line in missing:
        sys.stderr.write(f"not told: {line}\n")
    sys.stdout.write(f"page  {out}\n")
    return 0


if __name__ == "__main__":
    keep_memory(sys.orig_argv)
    sys.exit(main(sys.argv))
