"""Prints what the detectors that can be compared cost.

python scripts/bench_models.py necks        every neck with every fusion, at D0's sizes
python scripts/bench_models.py detectors    the published detectors, at their own sizes

Parameters, multiply-adds and the median time of a compiled forward pass of one image.
"""

import functools
import statistics
import sys
import time
from collections.abc import Iterator

import jax
import numpy as np
from jax import numpy as jnp
from ml_collections import ConfigDict

from efdet_jax import assemble, comparisons
from efdet_jax.config import get_config
from efdet_jax.memory import use_huge_pages
from efdet_jax.models.fusion import CHOICES
from efdet_jax.models.initial import initial_variables
from efdet_jax.models.necks import NECKS

RUNS = 5


def necks() -> Iterator[tuple[str, ConfigDict]]:
    """Yields D0 with every neck and fusion."""
    for name in NECKS:
        # The cells of a NAS-FPN say themselves how they fuse.
        for fusion in ("sum",) if name == "nas_fpn" else CHOICES:
            config = comparisons.get_fusion_config(fusion, 0)
            config.model.neck.name = name
            yield f"{name}, {fusion}", config


def detectors() -> Iterator[tuple[str, ConfigDict]]:
    """Yields the detectors that EfficientDet's Tables 2 and 4 compare."""
    for phi in (0, 1, 2, 3):
        yield f"EfficientDet-D{phi}", get_config("table", phi)
    yield "ResNet-50 RetinaNet", comparisons.get_retinanet_config(50)
    yield "ResNet-101 RetinaNet", comparisons.get_retinanet_config(101)
    yield "B3, FPN", comparisons.get_b3_config("fpn")
    yield "ResNet-50 NAS-FPN", comparisons.get_nas_fpn_config()


def row(name: str, config: ConfigDict) -> str:
    """Returns a row of the table."""
    assembly = assemble.detector(config, 90)
    variables = initial_variables(assembly.variables, seed=0, foreground_prior=0.01)
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.normal(size=(1, *config.image_size, 3)), jnp.float32)
    run = jax.jit(functools.partial(assembly.model.apply, train=False))
    jax.block_until_ready(run(variables, image))
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        jax.block_until_ready(run(variables, image))
        times.append(time.perf_counter() - start)
    side = config.image_size[0]
    return (
        f"| {name} | {side} | {assembly.params / 1e6:.2f} M "
        f"| {assembly.multiply_adds / 1e9:.2f} G "
        f"| {1e3 * statistics.median(times):.0f} ms |"
    )


def main() -> None:
    """Prints the table that the first argument names."""
    use_huge_pages(sys.orig_argv)
    tables = {"necks": necks, "detectors": detectors}
    print("| | pixels | parameters | multiply-adds | forward |\n|---|---|---|---|---|")
    for name, config in tables[sys.argv[1]]():
        print(row(name, config), flush=True)


if __name__ == "__main__":
    main()
