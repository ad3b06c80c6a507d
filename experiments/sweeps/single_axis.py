"""One size alone against all together, at equal work: EfficientDet's Figure 6, small.

python -m efdet_jax.sweep --config=experiments/sweeps/single_axis.py

On drawn shapes, from the law at phi -4 up to the work that it does at -3 and at -2.5.
All begin with that at -4.
single_axis.py:SEEDS trains each with several seeds. BiFPN depth and head depth are not
among the axes: thirty repeats are less than the work of phi -3.
"""

from efdet_jax.sweep.trials import Trial, over_seeds

SMALLEST, LARGER = -4.0, (-3.0, -2.5)
STEPS = {"steps": 600, "eval.every": 300, "checkpoint.every": 300}
AXES = {
    "resolution": ("image_size", ((160, 160), (256, 256))),
    "backbone width": ("model.backbone.width", (1.0, 1.56)),
    "backbone depth": ("model.backbone.depth", (0.98, 2.23)),
    "BiFPN width": ("model.neck.width", (136, 304)),
}
"""The key of each axis, and its values that do the work of LARGER.

Found by `axes.at_budget`; a test does the sums.
"""


def get_trials(seeds: str = "1") -> list[Trial]:
    trials = [
        Trial(
            name=f"compound{phi:g}",
            config=f"experiments/shapes.py:{phi:g}",
            overrides=STEPS,
            family="compound",
            point=f"φ = {phi:g}",
            also_in=tuple(AXES) if phi == SMALLEST else (),
        )
        for phi in (SMALLEST, *LARGER)
    ]
    for axis, (key, values) in AXES.items():
        for phi, value in zip(LARGER, values, strict=True):
            trials.append(
                Trial(
                    name=f"{axis.replace(' ', '-')}{phi:g}",
                    config=f"experiments/shapes.py:{SMALLEST:g}",
                    overrides={"scaling.source": "free", key: value, **STEPS},
                    family=axis,
                    point=f"work of φ = {phi:g}",
                )
            )
    return over_seeds(trials, range(int(seeds)))
