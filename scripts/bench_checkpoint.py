"""What a checkpoint costs: the state of an experiment, saved five times.

python scripts/bench_checkpoint.py experiments/quickstart.py

Prints its size, and medians: the seconds until training goes on, those until the
checkpoint is on the disk, and of CPU time. The network has COCO's 90 classes.
"""

import argparse
import contextlib
import pathlib
import runpy
import statistics
import tempfile
import time

import jax

from efdet_jax import mesh as meshes
from efdet_jax.checkpoint import Checkpoints
from efdet_jax.flat import trees
from efdet_jax.models.initial import initial_variables
from efdet_jax.tasks import TASKS
from efdet_jax.training import make_training

TIMES = 5


def state_of(experiment: str) -> object:
    """Returns the state of an experiment before its first step, as it is saved."""
    config = runpy.run_path(experiment)["get_config"]()
    assembly = TASKS[config.task].assemble(config, 90)
    variables = initial_variables(
        assembly.variables,
        seed=config.seed,
        foreground_prior=config.get("foreground_prior"),
    )
    return trees(make_training(config, assembly, variables, meshes.make_mesh(1)).state)


def main() -> None:
    """Prints what an experiment's checkpoints cost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("experiment", help="its file")
    experiment = parser.parse_args().experiment
    state = state_of(experiment)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "checkpoints"
        for step in range(1, TIMES + 1):
            checkpoints = Checkpoints(path, keep=2, if_it_fails="stop")
            with contextlib.closing(checkpoints):
                start, cpu = time.monotonic(), time.process_time()
                checkpoints.save(step, state, {}, best=None)
                until_on = time.monotonic() - start
            rows.append((until_on, time.monotonic() - start, time.process_time() - cpu))
        files = (path / str(TIMES)).rglob("*")
        size = sum(file.stat().st_size for file in files if file.is_file())
    on, done, cpu = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"{experiment}: {len(jax.tree.leaves(state))} arrays, {size / 1e6:.1f} MB")
    print(f"goes on after {on:.3f} s, on disk after {done:.3f} s, {cpu:.3f} s of CPU")


if __name__ == "__main__":
    main()
