"""Times one training step and its compilation, and says the memory it took.

python scripts/bench_step.py --config=experiments/d0.py --batch_size=4

The step is the one that training runs: targets, loss, backward, clip, update, EMA.
Images and boxes are random and already on the device. One JSON object on stdout.
"""

import json
import resource
import statistics
import sys
import time

import jax
import numpy as np
from absl import app, flags
from ml_collections import config_flags

from efdet_jax import assemble
from efdet_jax import mesh as meshes
from efdet_jax.memory import use_huge_pages
from efdet_jax.models.initial import initial_variables
from efdet_jax.structures import Batch
from efdet_jax.train import compile_step, make_training

_CONFIG = config_flags.DEFINE_config_file("config", help_string="Experiment to time.")
_BATCH = flags.DEFINE_integer("batch_size", 4, "Images per step.")
_OBJECTS = flags.DEFINE_integer("objects", 7, "Boxes per image.")
_STEPS = flags.DEFINE_integer("steps", 7, "Steps to take the median of.")
_CLASSES = flags.DEFINE_integer("classes", 90, "Classes of the network.")


def random_batch(image_size: tuple[int, int], max_boxes: int) -> Batch:
    """Returns a batch with `objects` random boxes in each image."""
    rng = np.random.default_rng(0)
    b, n = _BATCH.value, _OBJECTS.value
    corners = np.sort(rng.uniform(0, min(image_size), (b, n, 2, 2)), axis=2)
    boxes = np.zeros((b, max_boxes, 4), np.float32)
    boxes[:, :n] = corners.reshape(b, n, 4)
    classes = np.full((b, max_boxes), -1, np.int32)
    classes[:, :n] = rng.integers(_CLASSES.value, size=(b, n))
    return Batch(
        image=rng.integers(0, 256, (b, *image_size, 3), dtype=np.uint8),
        boxes=boxes,
        classes=classes,
        image_index=np.arange(b, dtype=np.int32),
        scale=np.ones((b, 2), np.float32),
    )


def main(argv: list[str]) -> None:
    """Prints the timing."""
    del argv
    config = _CONFIG.value
    config.batch_size = _BATCH.value
    mesh = meshes.data_mesh()
    assembly = assemble.detector(config, _CLASSES.value)
    variables = initial_variables(assembly.variables, seed=0, foreground_prior=0.01)
    training = make_training(config, assembly, variables, mesh)
    image_size = tuple(config.image_size)
    batch = meshes.place_batch(random_batch(image_size, config.data.max_boxes), mesh)
    compiled = compile_step(training, batch)
    state, seconds = training.state, []
    for _ in range(_STEPS.value + 1):
        start = time.perf_counter()
        state, metrics = jax.block_until_ready(compiled.step(state, batch))
        seconds.append(time.perf_counter() - start)
    report = {
        "device": str(jax.devices()[0]),
        "params": assembly.params,
        "multiply_adds": assembly.multiply_adds,
        "compile_seconds": round(compiled.cost["compile_seconds"], 1),
        "median_step_seconds": round(statistics.median(seconds[1:]), 4),
        "fastest_step_seconds": round(min(seconds[1:]), 4),
        "peak_host_memory_gb": round(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2
        ),
        "loss": float(metrics["loss"]),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    use_huge_pages(sys.orig_argv)
    app.run(main)
