"""Small and large scale jitter for longer and longer: EfficientDet's Figure 8, on D0.

python -m efdet_jax.sweep --config=experiments/sweeps/jitter.py
"""

from efdet_jax.sweep.trials import Resources, Trial

RESOURCES = Resources(accelerator="v5litepod-8", cpus=96, memory_gb=128, hours=72)
JITTERS = {"small": (0.8, 1.25), "large": (0.1, 2.0)}
EPOCHS = (75, 150, 300, 600)
STEPS_PER_EPOCH = 118_287 // 64  # COCO 2017 in D0's batches


def get_trials() -> list[Trial]:
    return [
        Trial(
            name=f"{name}-{epochs}",
            config="experiments/d0.py",
            overrides={"data.jitter": jitter, "steps": epochs * STEPS_PER_EPOCH},
            family=f"{name} jitter",
            point=f"{epochs} epochs",
            resources=RESOURCES,
        )
        for name, jitter in JITTERS.items()
        for epochs in EPOCHS
    ]
