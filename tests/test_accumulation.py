"""A batch in parts teaches what the batch teaches, in less memory."""

import functools
import json
import os
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest
import tiny
import tiny_classifier
from jax import numpy as jnp
from oracles.trees import flat_arrays

from efdet_jax.accumulation import batch_gradient
from efdet_jax.flat import in_vectors, trees
from efdet_jax.footprint import footprint
from efdet_jax.models.initial import initial_variables
from efdet_jax.objectives import classification
from efdet_jax.structures import Batch
from efdet_jax.tasks import TASKS
from efdet_jax.train_step import initial_state, train_step
from efdet_jax.training import abstract_training

KEEP_GRADIENTS = optax.GradientTransformation(
    lambda params: jax.tree.map(jnp.zeros_like, params),
    lambda gradients, _, params: (jax.tree.map(jnp.zeros_like, params), gradients),
)
"""Changes no parameter; its state is the last gradient."""


def detection_batch(images):
    """Noise with very different numbers of objects, so that parts differ."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 30, (images, 6, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(6, 34, corners.shape)], -1)
    classes = rng.integers(0, 2, (images, 6))
    classes[np.arange(6)[None, :] >= np.arange(images)[:, None] % 6] = -1
    return Batch(
        image=rng.integers(0, 256, (images, 64, 64, 3), np.uint8),
        boxes=np.asarray(boxes, np.float32),
        classes=np.asarray(classes, np.int32),
        image_index=np.arange(images, dtype=np.int32),
        scale=np.ones((images, 2), np.float32),
    )


def step_of(config):
    """A step that keeps its gradients, and the state before it."""
    assembly = TASKS[config.task].assemble(config, 2)
    variables = initial_variables(
        assembly.variables, seed=0, foreground_prior=config.get("foreground_prior")
    )
    step = functools.partial(
        train_step,
        model=assembly.model,
        objective=assembly.objective,
        normalisation=config.normalise.to_dict(),
        optimizer=KEEP_GRADIENTS,
        schedule=lambda step: 0.0,
        l2_weight=0.1,
        ema_decay=0.5,
        seed=0,
        accumulate=config.accumulate,
    )
    options = {"xla_backend_optimization_level": 0}
    return jax.jit(step, compiler_options=options), initial_state(
        **in_vectors(variables), optimizer=KEEP_GRADIENTS
    )


@pytest.mark.slow
def test_without_statistics_of_its_own_a_part_adds_exactly_its_share():
    config, batch = tiny.get_config(), detection_batch(12)
    config.model.frozen.batch_norm = True
    found = {}
    for parts in (1, 4):
        config.accumulate = parts
        step, state = step_of(config)
        after, metrics = step(state, batch)
        found[parts] = flat_arrays(trees(after.opt_state)), metrics
    (gradients, metrics), (summed, in_parts) = found[1], found[4]
    assert set(in_parts) - set(metrics) == {"part_not_finite"}
    for name, value in metrics.items():
        np.testing.assert_allclose(in_parts[name], value, rtol=1e-5, err_msg=name)
    for path, gradient in gradients.items():
        error = np.linalg.norm(summed[path] - gradient)
        assert error <= 1e-5 * np.linalg.norm(gradient), path


def test_of_classes_too_the_shares_of_parts_add_up():
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(12, 5)), jnp.float32)
    classes = jnp.asarray(rng.integers(0, 5, 12))
    share = functools.partial(classification, label_smoothing=0.1)
    loss, named = share(logits, classes, classes)
    parts = [share(logits[i::3], classes[i::3], classes) for i in range(3)]
    np.testing.assert_allclose(sum(part for part, _ in parts), loss, rtol=1e-6)
    for name, value in named.items():
        found = sum(others[name] for _, others in parts)
        np.testing.assert_allclose(found, value, rtol=1e-6)


def test_parts_are_strided_and_statistics_go_from_part_to_part():
    rows = {"x": jnp.asarray(np.random.default_rng(0).normal(size=(12, 3)))}
    weights = jnp.asarray([1.0, -2.0, 0.5])

    def share(params, batch_stats, rows, key):
        mean = jnp.mean(rows["x"])
        loss = jnp.sum(jnp.tanh(rows["x"] * params[None, :]))
        named = {"drawn": jax.random.uniform(key), "images": float(len(rows["x"]))}
        return loss, (0.9 * batch_stats + 0.1 * mean, named)

    run = jax.jit(functools.partial(batch_gradient, share, parts=4))
    found = run(weights, jnp.asarray(5.0), rows, jax.random.key(3))
    x, running = np.asarray(rows["x"], np.float64), 5.0
    for part in range(4):
        running = 0.9 * running + 0.1 * x[[part, part + 4, part + 8]].mean()
    np.testing.assert_allclose(found.batch_stats, running, rtol=1e-6)
    inside = x * np.asarray(weights)
    slope = (x / np.cosh(inside) ** 2).sum(axis=0)
    np.testing.assert_allclose(found.gradients, slope, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.loss, np.tanh(inside).sum(), rtol=1e-5, atol=1e-5)
    assert found.named["images"] == 12
    # Four draws, not one four times.
    assert found.named["drawn"] != 4 * jax.random.uniform(jax.random.key(3))
    assert found.named["part_not_finite"] == -1


@pytest.mark.slow
def test_a_step_in_parts_takes_the_memory_of_a_part():
    devices = np.asarray(jax.devices()[:1]).reshape(1, 1)
    mesh = jax.sharding.Mesh(devices, ("data", "spatial"))
    taken = {}
    for parts in (1, 4):
        config = tiny_classifier.get_config()
        config.batch_size, config.accumulate, config.image_size = 32, parts, (96, 96)
        assembly = TASKS[config.task].assemble(config, 2)
        training = abstract_training(config, assembly, mesh)
        batch = TASKS[config.task].blank_batch(config)
        lowered = training.step.lower(training.state, batch)
        options = {"xla_backend_optimization_level": 0}
        taken[parts] = footprint(lowered.compile(compiler_options=options)).temporaries
    assert taken[4] < 0.35 * taken[1]


ON_DEVICES = """
import json, re, sys
sys.path.insert(0, "tests")
import jax, numpy as np, tiny_classifier
from efdet_jax import assemble, mesh as meshes
from efdet_jax.models.initial import initial_variables
from efdet_jax.structures import LabelledBatch
from efdet_jax.training import compile_step, make_training

jax.config.update("jax_disable_most_optimizations", True)
config = tiny_classifier.get_config()
config.batch_size, config.accumulate = 16, 2
assembly = assemble.classifier(config, 2)
variables = initial_variables(assembly.variables, seed=0, foreground_prior=None)
rng = np.random.default_rng(0)
batch = LabelledBatch(
    image=rng.integers(0, 256, (16, 32, 32, 3), np.uint8),
    classes=np.asarray(rng.integers(0, 2, 16), np.int32),
    image_index=np.arange(16, dtype=np.int32),
)
told = {}
for count in (1, 4):
    devices = np.asarray(jax.devices()[:count]).reshape(count, 1)
    mesh = jax.sharding.Mesh(devices, ("data", "spatial"))
    training = make_training(config, assembly, variables, mesh)
    placed = meshes.place_batch(batch, mesh)
    step = compile_step(training, placed).step
    text = step.as_text()
    moved = re.findall(r"= u8.* (?:all-\\w+|collective-\\w+)\\(", text)
    sizes = re.findall(r"= f32\\[(\\d+),32,32,3\\]", text)
    _, metrics = step(training.state, placed)
    told[count] = {
        "moved": moved,
        "images": sorted({int(size) for size in sizes}),
        "loss": float(metrics["loss"]),
        "norm": float(metrics["gradient_norm"]),
    }
print(json.dumps(told))
"""


@pytest.mark.slow
def test_every_part_is_spread_over_all_devices_and_no_image_moves():
    ran = subprocess.run(
        [sys.executable, "-c", ON_DEVICES],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "4"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    one, four = told["1"], told["4"]
    assert four["moved"] == []
    # Half of 16 images in each part, a quarter of these on each device.
    assert (one["images"], four["images"]) == ([8], [2])
    assert four["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert four["norm"] == pytest.approx(one["norm"], rel=1e-3)
