"""The main job: `python -m efdet_jax.main --config=experiments/d3.py`.

Trains and evaluates; the same command goes on where it stopped. Intentionally short:
flags, checks, one call, a table.
"""

import json
import logging
import pathlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from efdet_jax import caches, command
from efdet_jax.journal import prepare_workdir
from efdet_jax.memory import keep_memory


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit code."""
    options = command.new_options(argv, config="Experiment to run.")
    flags.DEFINE_string(
        "workdir", None, "Default: runs/NAME_OF_CONFIG.", flag_values=options
    )
    flags.DEFINE_enum(
        "mode",
        "train",
        ["train", "eval", "replay", "estimate"],
        "eval: evaluate only. replay: run the step again at which a run diverged, and"
        " find the first operation that came to nan or inf. estimate: say what memory"
        " training and evaluation take, and which batch fits.",
        flag_values=options,
    )
    flags.DEFINE_float(
        "memory_gb",
        None,
        "Of estimate: memory of a device that is not here, in units of 10^9 bytes.",
        lower_bound=0.0,
        flag_values=options,
    )
    flags.DEFINE_bool(
        "print_config",
        False,
        "Print the resolved config and the model's cost as JSON.",
        flag_values=options,
    )
    return command.run(_train_or_score, argv, options, about=__doc__)


def _train_or_score(words: list[str], options: flags.FlagValues) -> int:
    config = command.experiment(words, options)
    if options.print_config:
        sys.stdout.write(_describe(config) + "\n")
        return 0
    logging.basicConfig(format="%(message)s")
    logging.getLogger("efdet_jax").setLevel(logging.INFO)
    # What is imported below loads the input pipeline and Orbax: seconds.
    if options.mode == "estimate":
        from efdet_jax.estimate import estimate

        sys.stdout.write(estimate(config, memory_gb=options.memory_gb))
        return 0
    caches.keep_compiled_programs()
    name = command.config_path(options).stem
    workdir = prepare_workdir(options.workdir or f"runs/{name}")
    if options.mode == "replay":
        from efdet_jax.replay import replay

        sys.stdout.write(replay(config, workdir) + "\n")
        return 0
    if options.mode == "train":
        from efdet_jax.train import train as run
    else:
        from efdet_jax.score import score as run
    from efdet_jax.tasks import TASKS

    figures = TASKS[config.task].figures
    sys.stdout.write(_table(run(config, workdir), figures, workdir))
    return 0


def _describe(config: ConfigDict) -> str:
    from efdet_jax.assemble import num_classes
    from efdet_jax.tasks import TASKS

    assembly = TASKS[config.task].assemble(config, num_classes(config))
    description = {
        "config": json.loads(config.to_json()),
        "params": assembly.params,
        "multiply_adds": assembly.multiply_adds,
        "image_size": tuple(config.image_size),
    }
    return json.dumps(description, indent=2)


def _table(
    result: Mapping[str, Any], figures: Iterable[str], workdir: pathlib.Path
) -> str:
    rows = [
        # Not a number where the data has no object of that size.
        *((name, f"{result[name]:.3f}".replace("nan", "-")) for name in figures),
        ("params", f"{result['params']:,}"),
        ("multiply-adds", f"{result['multiply_adds']:,}"),
        ("images/s", f"{result['images_per_second']:.1f}"),
        ("seconds", f"{result['seconds']:.0f}"),
        ("workdir", str(workdir)),
        ("TensorBoard", f"tensorboard --logdir={workdir}"),
        ("pictures", f"{workdir}/pictures/*.png"),
    ]
    return "".join(f"{name:<14} {value}\n" for name, value in rows)


if __name__ == "__main__":
    keep_memory(sys.orig_argv)
    sys.exit(main(sys.argv))
