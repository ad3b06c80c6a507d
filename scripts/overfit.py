"""Prints the AP that detectors reach on eight drawn images after training on them.

python scripts/overfit.py necks        every neck with every fusion, small
python scripts/overfit.py detectors    those of the published tables, whole

Names of rows after that choose some. Fails if one reaches less than 0.9.
"""

import argparse
import pathlib
import sys
import tempfile

from ml_collections import ConfigDict

from efdet_jax import comparisons, recipes
from efdet_jax.memory import keep_memory
from efdet_jax.train import train

ENOUGH = 0.9

RATES_AND_STEPS = {
    **{f"EfficientDet-D{phi}": (1e-2, 400) for phi in range(3)},
    "EfficientDet-D3": (2e-3, 500),
    "EfficientNet-B3 BiFPN": (2e-3, 500),
}
"""Of the detectors with BatchNorm in their heads, which learn eight images slowly."""


def necks() -> dict[str, ConfigDict]:
    """Returns a small detector with every neck and fusion."""
    configs = {}
    for neck, fusion in comparisons.FUSED_NECKS:
        config = recipes.get_small_config(-4.0)
        config.model.neck.name = neck
        config.model.neck.fusion = fusion
        configs[f"{neck}, {fusion}"] = recipes.get_memory_config(config)
    return configs


def detectors() -> dict[str, ConfigDict]:
    """Returns the detectors that EfficientDet's Tables 2 and 4 compare."""
    configs = {}
    for name, make in comparisons.DETECTORS.items():
        config = recipes.get_memory_config(make())
        rate, config.steps = RATES_AND_STEPS.get(name, (1e-3, 300))
        config.optimizer.learning_rate = rate
        config.eval.every = config.checkpoint.every = config.steps
        configs[name] = config
    return configs


def main() -> None:
    """Prints the table that the first argument names."""
    keep_memory(sys.orig_argv)
    tables = {"necks": necks, "detectors": detectors}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", choices=tables)
    parser.add_argument("rows", nargs="*", help="default: all of them")
    args = parser.parse_args()
    configs = tables[args.table]()
    print("| | steps | AP | AP50 | seconds |\n|---|---|---|---|---|", flush=True)
    worst = 1.0
    for name in args.rows or configs:
        config = configs[name]
        with tempfile.TemporaryDirectory() as workdir:
            result = train(config, pathlib.Path(workdir))
        print(
            f"| {name} | {config.steps} | {result['AP']:.3f} | {result['AP50']:.3f} "
            f"| {result['seconds']:.0f} |",
            flush=True,
        )
        worst = min(worst, result["AP"])
    if worst < ENOUGH:
        sys.exit(f"the worst AP is {worst:.3f}, which is less than {ENOUGH}")


if __name__ == "__main__":
    main()
