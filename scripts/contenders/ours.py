"""efdet_jax, as a contender of `bench.py`.

Post-processing is effdet's: 5000 pairs of anchor and class with the highest scores,
hard suppression per class at an IoU of 0.5, the 100 best of what is left. A new network
scores all anchors alike; for post-processing both spread its logits, so that sorting
and suppression have as much to do as after training: the 5000 are of 90 classes, up to
about 150 of one, and every image must end with 100 detections.
"""

import functools
import os
import sys
from typing import Any

import jax
import numpy as np
import turns  # pyrefly: ignore[missing-import]
from batches import CLASSES, random_batch  # pyrefly: ignore[missing-import]
from jax import numpy as jnp
from ml_collections import ConfigDict

from efdet_jax import assemble
from efdet_jax import mesh as meshes
from efdet_jax.config import get_config
from efdet_jax.evaluate import make_predict_step
from efdet_jax.memory import keep_memory
from efdet_jax.models.initial import initial_variables
from efdet_jax.structures import Batch, Detections, Tree
from efdet_jax.training import compile_step, make_training

POSTPROCESS = {
    "candidates": "pairs",
    "max_candidates": 5000,
    "per_class": True,
    "method": "hard",
    "iou_threshold": 0.5,
    "score_threshold": 0.0,
    "max_detections": 100,
    "clip": "never",
}


def forward(
    config: ConfigDict, assembly: assemble.Assembly, variables: Tree, batch: Batch
) -> turns.Task:
    """Returns the network alone, on normalised images."""
    del config
    image = jnp.asarray(batch.image, jnp.float32) / 64 - 2
    run = jax.jit(functools.partial(assembly.model.apply, train=False))
    return turns.Task(lambda: run(variables, image), jax.block_until_ready)


def detect(
    config: ConfigDict, assembly: assemble.Assembly, variables: Tree, batch: Batch
) -> turns.Task:
    """Returns the way from bytes to detections on the host."""
    variables = spread_logits(assembly, variables, batch)
    mesh = meshes.make_mesh(1)
    step = make_predict_step(
        assembly.model,
        assembly.anchors,
        mesh,
        image_size=tuple(config.image_size),
        normalisation=config.normalise.to_dict(),
        **(config.postprocess.to_dict() | POSTPROCESS),
    )
    placed = meshes.place_batch(batch, mesh)

    def finish(detections: Detections) -> None:
        assert (jax.device_get(detections).scores > 0).all()

    return turns.Task(lambda: step(variables, placed).detections, finish)


def spread_logits(assembly: assemble.Assembly, variables: Tree, batch: Batch) -> Tree:
    """Returns variables with which logits have a standard deviation of 1."""
    variables = jax.tree.map(jnp.asarray, variables)
    predictor = variables["params"]["class_head"]["predict"]["pointwise"]
    bias = predictor["bias"]
    # Beside it they would vanish.
    predictor["bias"] = jnp.zeros_like(bias)
    image = jnp.asarray(batch.image, jnp.float32) / 64 - 2
    apply = jax.jit(functools.partial(assembly.model.apply, train=False))
    outputs: Any = apply(variables, image)
    predictor["kernel"] /= jnp.std(outputs.class_logits.astype(jnp.float32))
    predictor["bias"] = bias
    return variables


def train(
    config: ConfigDict, assembly: assemble.Assembly, variables: Tree, batch: Batch
) -> turns.Task:
    """Returns one training step: targets, loss, backward, clip, update, averages."""
    mesh = meshes.make_mesh(1)
    training = make_training(config, assembly, variables, mesh)
    placed = meshes.place_batch(batch, mesh)
    step = compile_step(training, placed).step
    state = [training.state]

    def run() -> Any:
        state[0], metrics = step(state[0], placed)
        return metrics

    def finish(metrics: Any) -> None:
        jax.block_until_ready(state)
        assert np.isfinite(metrics["loss"])

    return turns.Task(run, finish)


def main() -> None:
    """Takes its turns."""
    case = turns.case()
    try:
        device = jax.devices(case["device"])[0]
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise turns.refusal(f"JAX has no {case['device']}: {reason}") from error
    config = get_config("table", case["phi"])
    config.image_size = (case["size"], case["size"])
    config.batch_size = case["batch"]
    config.model.dtype = case["dtype"]
    assembly = assemble.detector(config, CLASSES)
    variables = jax.tree.map(
        jnp.asarray,
        initial_variables(assembly.variables, seed=0, foreground_prior=0.01),
    )
    kind = {"forward": forward, "detect": detect, "train": train}[case["kind"]]
    task = kind(config, assembly, variables, random_batch(config, case["batch"]))
    turns.serve(
        functools.partial(turns.seconds_of, task, case["runs"]),
        {
            "threads": len(os.sched_getaffinity(0)),
            "dtype": config.model.dtype,
            "device": device.device_kind,
            "versions": {"jax": jax.__version__},
            "multiply_adds": assembly.multiply_adds,
        },
        warm_up=case["warm_up"],
        peak_gb=turns.host_gb
        if case["device"] == "cpu"
        else lambda: device.memory_stats()["peak_bytes_in_use"] / 1e9,
    )


if __name__ == "__main__":
    keep_memory(sys.orig_argv)
    main()
