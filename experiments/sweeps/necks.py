"""D3 with every neck of EfficientDet's Table 5, on COCO.

python -m efdet_jax.sweep --config=experiments/sweeps/necks.py
"""

from efdet_jax.comparisons import NECKS
from efdet_jax.sweep.trials import Resources, Trial

RESOURCES = Resources(accelerator="v5litepod-8", cpus=96, memory_gb=128, hours=72)


def get_trials() -> list[Trial]:
    return [
        Trial(name, f"experiments/necks.py:{name}", {}, name, "D3", RESOURCES)
        for name in NECKS
    ]
