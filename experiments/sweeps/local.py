"""The law at five sizes on drawn shapes: a scaling curve on a laptop.

python -m efdet_jax.sweep --config=experiments/sweeps/local.py

local.py:SEEDS trains each with several seeds.
"""

from efdet_jax.sweep.trials import Trial, over_seeds

PHIS = (-4.0, -3.5, -3.0, -2.5, -2.0)


def get_trials(seeds: str = "1") -> list[Trial]:
    trials = [
        Trial(
            name=f"phi{phi:g}",
            config=f"experiments/shapes.py:{phi:g}",
            overrides={"steps": 600, "eval.every": 300, "checkpoint.every": 300},
            family="compound",
            point=f"φ = {phi:g}",
        )
        for phi in PHIS
    ]
    return over_seeds(trials, range(int(seeds)))
