"""Prints what a training step takes, and what remat and accumulation make of that.

python scripts/bench_memory.py PHI BATCH_SIZE

Memory is what XLA plans for the step (`footprint`); seconds are medians of steps that
took turns, each with a state of its own.
"""

import argparse
import sys
from collections.abc import Callable

import jax
from bench_models import medians  # pyrefly: ignore[missing-import]
from contenders.batches import (  # pyrefly: ignore[missing-import]
    CLASSES,
    random_batch,
)

from efdet_jax import assemble
from efdet_jax import mesh as meshes
from efdet_jax.config import get_config
from efdet_jax.footprint import Footprint, footprint
from efdet_jax.memory import keep_memory
from efdet_jax.models.initial import initial_variables
from efdet_jax.training import compile_step, make_training

TURNS = 7
SETTINGS: dict[str, dict[str, object]] = {
    "as it is": {},
    "model.remat=blocks": {"model.remat": "blocks"},
    "accumulate=2": {"accumulate": 2},
    "accumulate=4": {"accumulate": 4},
    "accumulate=4, model.remat=blocks": {"accumulate": 4, "model.remat": "blocks"},
}


def prepared(
    phi: int, batch_size: int, changes: dict[str, object]
) -> tuple[Footprint, float, Callable[[], object]]:
    """Returns a step's memory, its seconds of compilation, and a run of it."""
    config = get_config("table", phi)
    config.batch_size = batch_size
    config.update_from_flattened_dict(changes)
    assembly = assemble.detector(config, CLASSES)
    variables = initial_variables(assembly.variables, seed=0, foreground_prior=0.01)
    mesh = meshes.make_mesh(1)
    training = make_training(config, assembly, variables, mesh)
    batch = meshes.place_batch(random_batch(config, batch_size), mesh)
    step, cost = compile_step(training, batch)
    state = [training.state]

    def run() -> None:
        state[0], _ = jax.block_until_ready(step(state[0], batch))

    run()
    return footprint(step), cost["compile_seconds"], run


def main() -> None:
    """Prints the table of a published detector."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("phi", type=int, help="of D0 to D7")
    parser.add_argument("batch_size", type=int, help="images of a step")
    args = parser.parse_args()
    keep_memory(sys.orig_argv)
    phi, batch_size = args.phi, args.batch_size
    rows = {name: prepared(phi, batch_size, SETTINGS[name]) for name in SETTINGS}
    seconds = medians({name: run for name, (_, _, run) in rows.items()}, turns=TURNS)
    print(f"| D{phi}, batch {batch_size} | temporaries | all | step | compilation |")
    print("|---|--:|--:|--:|--:|")
    for name, (memory, compiling, _) in rows.items():
        print(
            f"| {name} | {memory.temporaries / 1e9:.2f} GB "
            f"| {memory.total / 1e9:.2f} GB | {seconds[name]:.2f} s "
            f"| {compiling:.0f} s |"
        )


if __name__ == "__main__":
    main()
