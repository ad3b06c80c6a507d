"""What is done about rare classes, each row on drawn shapes; minutes each on a laptop.

python -m efdet_jax.sweep --config=experiments/sweeps/imbalance.py

imbalance.py:SEEDS trains each with several seeds.
"""

from efdet_jax.recipes import IMBALANCE
from efdet_jax.sweep.trials import Trial, over_seeds


def get_trials(seeds: str = "1") -> list[Trial]:
    trials = [
        Trial(name, f"experiments/imbalance.py:{name}", {}, name, "φ = -4")
        for name in IMBALANCE
    ]
    return over_seeds(trials, range(int(seeds)))
