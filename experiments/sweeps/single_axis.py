"""One size alone against all together, at equal work: EfficientDet's Figure 6, small.

python -m efdet_jax.sweep --config=experiments/sweeps/single_axis.py

On drawn shapes, from the law at phi -4 up to the work that it does at -3 and at -2.5.
single_axis.py:SEEDS trains each with several seeds.
"""

from ml_collections import ConfigDict

from efdet_jax.recipes import get_shapes_config
from efdet_jax.sweep.axes import at_budget
from efdet_jax.sweep.trials import Trial, over_seeds

BASE = -4.0
LARGER = (-3.0, -2.5)
WORK = {-3.0: 71.7e6, -2.5: 167.4e6}
"""Multiply-adds of the law at these phi with four classes."""

STEPS = {"steps": 600, "eval.every": 300, "checkpoint.every": 300}
CONFIG = f"experiments/shapes.py:{BASE:g}"
AXES = {
    "resolution": ("image_size", [(s, s) for s in range(128, 385, 32)]),
    "backbone width": ("model.backbone.width", [0.68 + 0.08 * i for i in range(20)]),
    "backbone depth": ("model.backbone.depth", [0.48 + 0.25 * i for i in range(20)]),
    "BiFPN width": ("model.neck.width", list(range(16, 161, 8))),
    "BiFPN depth": ("model.neck.repeats", list(range(1, 31))),
    "head depth": ("model.head.repeats", list(range(1, 31))),
}
"""The key of each axis, and the values that a budget is met with."""


def get_trials(seeds: str = "1") -> list[Trial]:
    trials = [Trial("base", CONFIG, STEPS, "compound", "φ = -4")]
    for phi in LARGER:
        point = f"work of φ = {phi:g}"
        config = f"experiments/shapes.py:{phi:g}"
        trials.append(Trial(f"compound{phi:g}", config, STEPS, "compound", point))
        for axis, (key, values) in AXES.items():
            value = at_budget(
                lambda value, key=key: _scaled(key, value),
                values,
                multiply_adds=WORK[phi],
                num_classes=4,
            )
            name = f"{axis.replace(' ', '-')}{phi:g}"
            changes = {"scaling.source": "free", key: value, **STEPS}
            trials.append(Trial(name, CONFIG, changes, axis, point))
    return over_seeds(trials, range(int(seeds)))


def _scaled(key: str, value: object) -> ConfigDict:
    config = get_shapes_config(BASE)
    config.scaling.source = "free"
    config.update_from_flattened_dict({key: value})
    return config
