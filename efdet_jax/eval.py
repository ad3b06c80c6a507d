"""Score the newest checkpoint of a run, or weights, without training.

    efdet eval --config=experiments/quickstart.py --workdir=runs/quickstart
    efdet eval --config=experiments/d0.py --config.init_from=FILE

`efdet train --mode=eval` is the same.
"""

import functools
import sys

from efdet_jax import command
from efdet_jax.main import job_options, run_job
from efdet_jax.memory import keep_memory


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit code."""
    score = functools.partial(run_job, mode="eval")
    return command.run(score, argv, job_options(argv), about=__doc__)


if __name__ == "__main__":
    keep_memory(sys.orig_argv)
    sys.exit(main(sys.argv))
