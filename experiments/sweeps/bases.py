"""The search for alpha, beta and gamma of EfficientNet section 3.3, at toy size.

python -m efdet_jax.sweep --config=experiments/sweeps/bases.py

A small classifier of drawn objects, scaled by every candidate that about doubles its
work. bases.py:STEP is the grid's: 0.2 gives 6 candidates, 0.1 gives 22, 0.05 gives 111.
"""

from efdet_jax.scaling import candidate_bases
from efdet_jax.sweep.trials import Trial

TOLERANCE = 0.1


def get_trials(step: str = "0.2") -> list[Trial]:
    trials = [trial(1.0, 1.0, 1.0)]
    for bases in candidate_bases(step=float(step), tolerance=TOLERANCE):
        trials.append(trial(*bases))
    return trials


def trial(alpha: float, beta: float, gamma: float) -> Trial:
    factors = f"depth,{alpha:g},width,{beta:g},resolution,{gamma:g}"
    return Trial(
        name=f"{alpha:g}-{beta:g}-{gamma:g}",
        config=f"experiments/efficientnet_scaling.py:{factors}",
        overrides={},
        family=f"{alpha:g}, {beta:g}, {gamma:g}",
        point="once",
    )
