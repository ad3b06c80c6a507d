"""Every fusion of features at D0, D1 and D2, on COCO: EfficientDet's Table 6.

python -m efdet_jax.sweep --config=experiments/sweeps/fusion.py
"""

from efdet_jax.models.fusion import CHOICES
from efdet_jax.sweep.trials import Resources, Trial

RESOURCES = Resources(accelerator="v5litepod-8", cpus=96, memory_gb=128, hours=72)


def get_trials() -> list[Trial]:
    return [
        Trial(
            name=f"{fusion}-d{phi}",
            config=f"experiments/fusion.py:{fusion},{phi}",
            overrides={},
            family=fusion,
            point=f"D{phi}",
            resources=RESOURCES,
        )
        for fusion in CHOICES
        for phi in (0, 1, 2)
    ]
