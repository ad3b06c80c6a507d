"""Published weights into a file of ours, once: loads fast and says its classes.

python -m efdet_jax.convert --config=experiments/d0.py --config.init_from=FILE --out=OUT
"""

import logging
import pathlib
import sys

from absl import flags

from efdet_jax import command
from efdet_jax.errors import UsageError
from efdet_jax.weights.importing import imported
from efdet_jax.weights.opening import known_classes, open_weights
from efdet_jax.weights.saving import save


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit code."""
    options = command.new_options(argv, config="Experiment that the weights are for.")
    flags.DEFINE_string(
        "out", None, "File to write, such as d0.safetensors.", flag_values=options
    )
    return command.run(_convert, argv, options, about=__doc__)


def _convert(words: list[str], options: flags.FlagValues) -> int:
    config = command.experiment(words, options)
    if not config.init_from:
        raise UsageError("--config.init_from is missing: name the weights to convert")
    if not options.out:
        raise UsageError("--out is missing: name the file to write")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("efdet_jax").setLevel(logging.INFO)
    out = pathlib.Path(options.out)
    weights = open_weights(config.init_from)
    labels = known_classes(weights, config)
    if labels is not None:
        config.model.num_classes = labels.num_classes
    variables = imported(weights, config)
    config.init_from = ""  # a place of this machine
    try:
        save(out, variables, labels, config)
    except OSError as error:
        raise UsageError(
            f"--out={out} cannot be written ({error.strerror}): choose another file"
        ) from error
    sys.stdout.write(f"{out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
