"""Train and score an experiment; the same command goes on where it stopped.

    efdet train --config=experiments/quickstart.py
    efdet train --config=experiments/phi.py:1.5 --config.batch_size=64 --workdir=runs/a
    efdet train --config=experiments/d3.py --print_config

`python -m efdet_jax.main` is the same.
"""

import json
import logging
import pathlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from efdet_jax import caches, command, hosts
from efdet_jax.journal import prepare_workdir
from efdet_jax.memory import keep_memory
from efdet_jax.stopping import leave


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit code."""
    options = job_options(argv)
    flags.DEFINE_enum(
        "mode",
        "train",
        ["train", "eval", "replay", "estimate"],
        "eval: score only. replay: run the step again at which a run diverged, and find"
        " the first operation that came to nan or inf. estimate: say what memory"
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
    return command.run(
        lambda words, options: run_job(words, options, options.mode),
        argv,
        options,
        about=__doc__,
    )


def job_options(argv: list[str]) -> flags.FlagValues:
    """Returns the flags of every job that has an experiment and a workdir."""
    options = command.new_options(argv, config="Experiment to run.")
    flags.DEFINE_string(
        "workdir",
        None,
        "Folder of the run. Default: runs/NAME_OF_CONFIG.",
        flag_values=options,
    )
    flags.DEFINE_bool(
        "print_config",
        False,
        "Print the resolved config and the model's cost as JSON, and do no more.",
        flag_values=options,
    )
    _define_hosts(options)
    return options


def _define_hosts(options: flags.FlagValues) -> None:
    flags.DEFINE_enum(
        "distributed",
        "auto",
        hosts.CONNECTING,
        "Connect with the other processes of this run, one on each host. auto: in a"
        " Slurm step of several tasks, and on a TPU.",
        flag_values=options,
    )
    flags.DEFINE_string(
        "coordinator",
        "",
        "HOST:PORT of process 0, where JAX cannot find it out.",
        flag_values=options,
    )
    flags.DEFINE_integer(
        "num_processes", 0, "With --coordinator: of this run.", flag_values=options
    )
    flags.DEFINE_integer(
        "process_id",
        -1,
        "With --coordinator: which this is, from 0.",
        flag_values=options,
    )


def run_job(words: list[str], options: flags.FlagValues, mode: str) -> int:
    """Trains, scores, replays or estimates, as `mode` says; returns the exit code."""
    config = command.experiment(words, options)
    if options.print_config:
        sys.stdout.write(_describe(config) + "\n")
        return 0
    logging.basicConfig(format="%(message)s")
    logging.getLogger("efdet_jax").setLevel(logging.INFO)
    # What is imported below loads the input pipeline and Orbax: seconds.
    if mode == "estimate":
        from efdet_jax.estimate import estimate

        sys.stdout.write(estimate(config, memory_gb=options.memory_gb))
        return 0
    caches.keep_compiled_programs()
    hosts.connect(
        how=options.distributed,
        coordinator=options.coordinator,
        count=options.num_processes,
        index=options.process_id,
    )
    if not hosts.is_first():
        # What all processes say alike, one says.
        logging.getLogger("efdet_jax").setLevel(logging.WARNING)
    name = command.config_path(options).stem
    workdir = prepare_workdir(options.workdir or f"runs/{name}")
    answer = _answer(config, workdir, mode)
    if hosts.is_first():
        sys.stdout.write(answer)
    return 0


def _answer(config: ConfigDict, workdir: pathlib.Path, mode: str) -> str:
    """Does what `mode` says in a workdir; returns what there is to print."""
    if mode == "replay":
        from efdet_jax.replay import replay

        return replay(config, workdir) + "\n"
    if mode == "train":
        from efdet_jax.train import train as run
    else:
        from efdet_jax.score import score as run
    from efdet_jax.tasks import TASKS

    return _table(run(config, workdir), TASKS[config.task].figures, workdir)


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
    leave(main(sys.argv))
