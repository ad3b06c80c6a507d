"""Try detectors on a page of this machine, side by side.

    efdet serve --from=runs/quickstart
    efdet serve --from=runs/d0 --from=runs/d1 --port=8001

Open what it says at the end in a browser, and give it a photo. With several --from the
page shows what each finds, side by side. It is there for this machine alone.
"""

import logging
import sys

from absl import flags

from efdet_jax import caches, command, stopping
from efdet_jax.errors import UsageError
from efdet_jax.inference.loading import read_names
from efdet_jax.memory import keep_memory
from efdet_jax.serving.opening import open_detectors
from efdet_jax.serving.server import PageServer


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit code, if no signal ends it."""
    options = command.new_options(
        argv, config="Experiment that the weights are of, where they do not say it."
    )
    flags.DEFINE_multi_string(
        "from",
        [],
        "Workdir, or file of weights; once for each detector.",
        flag_values=options,
    )
    flags.DEFINE_string(
        "labels",
        None,
        "Text file with the name of a class on each line, where weights say none.",
        flag_values=options,
    )
    flags.DEFINE_integer(
        "port",
        8000,
        "Of this machine; 0 takes one that is free.",
        lower_bound=0,
        upper_bound=65535,
        flag_values=options,
    )
    return command.run(_serve, argv, options, about=__doc__)


def _serve(words: list[str], options: flags.FlagValues) -> int:
    config = None
    if words or command.has_config(options):
        config = command.experiment(words, options)
    paths = options["from"].value
    if not paths:
        raise UsageError("--from is missing: name a workdir, or a file of weights")
    stopping.end_at_once()
    with PageServer(options.port) as server:
        # Orbax has set up a format of its own by now.
        logging.basicConfig(format="%(message)s", force=True)
        logging.getLogger("efdet_jax").setLevel(logging.INFO)
        caches.keep_compiled_programs()
        labels = read_names(options.labels) if options.labels else None
        server.served = open_detectors(paths, config=config, labels=labels)
        sys.stdout.write(f"ready at {server.url}\n")
        sys.stdout.flush()
        server.serve_forever()
    return 0


if __name__ == "__main__":
    keep_memory(sys.orig_argv)
    sys.exit(main(sys.argv))
