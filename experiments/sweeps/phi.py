"""The published family on COCO, or the law at any values of phi.

python -m efdet_jax.sweep --config=experiments/sweeps/phi.py
python -m efdet_jax.sweep --config=experiments/sweeps/phi.py:0..3..0.5

Without argument D0 to D7x as published; with one the law, at -1,0,1 or from 0 to 3 in
steps. Needs TFDS coco/2017, and accelerators: try --dry_run first.
"""

from efdet_jax.sweep.axes import phis
from efdet_jax.sweep.trials import Resources, Trial

PUBLISHED = ("0", "1", "2", "3", "4", "5", "6", "7", "7x")
RESOURCES = Resources(accelerator="v5litepod-8", cpus=96, memory_gb=128, hours=168)


def get_trials(text: str = "") -> list[Trial]:
    if not text:
        return [
            Trial(
                f"d{phi}",
                f"experiments/d{phi}.py",
                {},
                "published",
                f"D{phi}",
                RESOURCES,
            )
            for phi in PUBLISHED
        ]
    return [
        Trial(
            name=f"phi{phi:g}",
            config=f"experiments/phi.py:{phi:g}",
            overrides={},
            family="compound",
            point=f"φ = {phi:g}",
            resources=RESOURCES,
        )
        for phi in phis(text)
    ]
