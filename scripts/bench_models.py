"""Prints what the detectors that can be compared cost.

python scripts/bench_models.py necks        every neck with every fusion, at D0's sizes
python scripts/bench_models.py detectors    the published detectors, at their own sizes

Parameters, multiply-adds and the median time of a compiled forward pass of one image.
All take turns, so that a busy moment of the machine is no row's own.
"""

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax import numpy as jnp
from ml_collections import ConfigDict

from efdet_jax import assemble, comparisons
from efdet_jax.memory import keep_memory
from efdet_jax.models.initial import initial_variables

TURNS = {"necks": 31, "detectors": 7}


def necks() -> dict[str, ConfigDict]:
    """Returns D0 with every neck and fusion."""
    configs = {}
    for neck, fusion in comparisons.FUSED_NECKS:
        config = comparisons.get_fusion_config(fusion, 0)
        config.model.neck.name = neck
        configs[f"{neck}, {fusion}"] = config
    return configs


def detectors() -> dict[str, ConfigDict]:
    """Returns the detectors that EfficientDet's Tables 2 and 4 compare."""
    return {name: make() for name, make in comparisons.DETECTORS.items()}


def prepared(config: ConfigDict) -> tuple[str, Callable[[], object]]:
    """Returns the cells of a row before its time, and what is to be timed."""
    assembly = assemble.detector(config, 90)
    variables = jax.tree.map(
        jnp.asarray,
        initial_variables(assembly.variables, seed=0, foreground_prior=0.01),
    )
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.normal(size=(1, *config.image_size, 3)), jnp.float32)
    run = jax.jit(functools.partial(assembly.model.apply, train=False))
    jax.block_until_ready(run(variables, image))
    cells = (
        f"{config.image_size[0]} | {assembly.params / 1e6:.2f} M "
        f"| {assembly.multiply_adds / 1e9:.2f} G"
    )
    return cells, lambda: jax.block_until_ready(run(variables, image))


def medians(
    functions: Mapping[str, Callable[[], object]], *, turns: int
) -> dict[str, float]:
    """Returns the median seconds of each function, all called in turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(turns):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Prints the table that the first argument names."""
    keep_memory(sys.orig_argv)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", choices=TURNS)
    table = parser.parse_args().table
    configs = {"necks": necks, "detectors": detectors}[table]()
    rows = {name: prepared(config) for name, config in configs.items()}
    seconds = medians(
        {name: run for name, (_, run) in rows.items()}, turns=TURNS[table]
    )
    print("| | pixels | parameters | multiply-adds | forward |\n|---|---|---|---|---|")
    for name, (cells, _) in rows.items():
        print(f"| {name} | {cells} | {1e3 * seconds[name]:.0f} ms |")


if __name__ == "__main__":
    main()
